"""How the house is built: packages, rooms and what may import what."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From left to right: a room imports only rooms to its left; `kernels` and `specs` stand side by side.
ROOMS = ("kernels", "specs", "synth", "envs", "verify", "serving", "finetune")
NO_ROOMS = {"tests", "benchmarks", "docs", "build", "dist"}


def python_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.py")) if not set(path.relative_to(ROOT).parts) & {".venv", "build"})


def existing_rooms() -> list[str]:
    return [room for room in ROOMS if (ROOT / room).is_dir()]


def imported_rooms(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            yield (node.module or node.names[0].name).split(".")[0]
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert not any(name.split(".")[0] == "verilora" for name in names), (
                f"{path}: inside rooms imports are relative"
            )


def test_the_packages_list_equals_the_tree() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent.relative_to(ROOT).parts[0] for path in python_files(ROOT) if path.parent != ROOT}
    folders -= NO_ROOMS
    assert folders <= set(ROOMS)
    assert setuptools["packages"] == ["verilora", *(f"verilora.{folder}" for folder in sorted(folders))]
    assert setuptools["package-dir"] == {"verilora": "."}


def test_only_the_root_has_an_init_file() -> None:
    found = [path.relative_to(ROOT) for path in python_files(ROOT) if path.name == "__init__.py"]
    assert found == [Path("__init__.py")]
    assert len(ast.parse((ROOT / "__init__.py").read_text()).body) == 1, "a docstring only"


@pytest.mark.parametrize("room", existing_rooms())
def test_a_room_imports_only_rooms_to_its_left(room: str) -> None:
    allowed = {*ROOMS[: ROOMS.index(room)]} - ({"kernels"} if room == "specs" else set())
    for path in python_files(ROOT / room):
        assert set(imported_rooms(path)) <= allowed, path


def test_spot_enters_through_one_door() -> None:
    for path in python_files(ROOT):
        imports = re.findall(r"^\s*(?:import|from) (spot|buddy)\b", path.read_text(), flags=re.MULTILINE)
        assert not imports or path == ROOT / "specs" / "logic.py", path


def test_no_word_of_driving_in_the_general_rooms() -> None:
    words = r"\b(?:car|cars|pedestrian\w*|traffic|vehicle\w*|road\w*|turn_\w+)\b"
    for room in ("synth", "verify", "finetune"):
        for path in python_files(ROOT / room):
            assert not re.findall(words, path.read_text(), flags=re.IGNORECASE), path


def test_rooms_do_not_shadow_the_packages_that_transformers_imports() -> None:
    """From the root, folders named like installed packages are importable; `import transformers` must not see them."""
    code = "import transformers; transformers.LlamaForCausalLM; import trl"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr


def test_source_lines_do_not_name_machines_or_trackers() -> None:
    for path in (*python_files(ROOT), *ROOT.glob("*.md"), *(ROOT / "docs").glob("*")):
        if path not in (Path(__file__), ROOT / "docs" / "report.png"):
            assert not re.search(r"/(?:home|root|Users)/\w|\bissue #?\d", path.read_text()), path
