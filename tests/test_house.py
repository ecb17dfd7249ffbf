"""How the house is built: packages, rooms and what may import what."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From left to right: a room imports only rooms to its left; `kernels` and `specs` stand side by side.
ROOMS = ("kernels", "specs", "synth", "envs", "verify", "serving", "finetune")
# The same inside a room: a wing imports only wings to its left. "." are the files that stand in the room itself.
WINGS: dict[str, tuple[str, ...]] = {
    "kernels": ("cache", "attention", "lora", "tokens", "layers"),
    "specs": ("files", ".", "processes"),
    "synth": ("controllers", "gguf", "models", "corpus"),
    "verify": (
        "checking",
        "realizability",
        "records",
        "worlds",
        "verdicts",
        "rulebooks",
        "audits",
        "certificates",
        "reports",
        "commands",
    ),
    "serving": (
        "models",
        "memory",
        "kv",
        "requests",
        "schedule",
        "steps",
        "engine",
        "workers",
        "adapters",
        "grammars",
        "wire",
        "server",
        "load",
        "commands",
    ),
    "finetune": ("run", "answers", "training", "evaluation", "base", ".", "commands"),
}
NO_ROOMS = {"tests", "benchmarks", "docs", "examples", "build", "dist"}
# `envs` is divided when its files are next changed.
MAX_FILES = {"envs": 35}
ELSEWHERE = "## Where a file without a test of its own name is tested"
Module = tuple[str, ...]


def python_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.py")) if not set(path.relative_to(ROOT).parts) & {".venv", "build"})


def existing_rooms() -> list[str]:
    return [room for room in ROOMS if (ROOT / room).is_dir()]


def module_of(path: Path) -> Module:
    return path.relative_to(ROOT).with_suffix("").parts


@cache
def imports() -> dict[Module, set[Module]]:
    """Every file of every room, with the files of rooms that it imports, anywhere in it."""
    paths = {module_of(path): path for room in existing_rooms() for path in python_files(ROOT / room)}
    return {module: set(imported(path, paths)) for module, path in paths.items()}


def imported(path: Path, known: Collection[Module]) -> Iterator[Module]:
    package = module_of(path)[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level <= len(package) + 1, f"{path}:{node.lineno}: leaves the package"
            above = package[: len(package) - node.level + 1]
            base = (*above, *(node.module.split(".") if node.module else ()))
            found = [(*base, alias.name) for alias in node.names if (*base, alias.name) in known]
            if len(found) < len(node.names):
                assert base in known or base == (), f"{path}:{node.lineno}: {'.'.join(base)} is no file of the house"
                found.append(base)
            yield from found
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            inside = any(name.split(".")[0] == "verilora" for name in names)
            assert not inside, f"{path}:{node.lineno}: inside rooms imports are relative"


def wing_of(module: Module) -> str:
    return module[1] if len(module) > 2 else "."


def circles(graph: Mapping[Module, Collection[Module]]) -> list[list[str]]:
    """What imports itself, by way of others or not: the nodes that stay when ends are taken away again and again."""
    left = {node: {*targets} & {*graph} for node, targets in graph.items()}
    while ends := [node for node, targets in left.items() if not targets]:
        left = {node: targets - {*ends} for node, targets in left.items() if targets}
    return [[".".join(node), *(".".join(target) for target in targets)] for node, targets in left.items()]


@cache
def files_of_the_house() -> dict[Module, Path]:
    """The command line and every file of every room."""
    paths = [ROOT / "__main__.py", *(path for room in existing_rooms() for path in python_files(ROOT / room))]
    return {module_of(path): path for path in paths}


def rows_of_other_names() -> list[tuple[str, str]]:
    """The table of CONTRIBUTING.md: a file that has no test of its own name, with a test file."""
    _, found, table = (ROOT / "CONTRIBUTING.md").read_text().partition(ELSEWHERE)
    assert found, ELSEWHERE
    # Behind its head, up to the next section.
    rows = re.findall(r"^\|(.*)\|(.*)\|$", table.partition("\n## ")[0], flags=re.MULTILINE)[2:]
    cells = [(re.findall("`(.+?)`", files), re.findall("`(.+?)`", tests)) for files, tests in rows]
    return [(file, test) for files, tests in cells for file in files for test in tests]


@cache
def named_by(path: Path) -> frozenset[Module]:
    """The files of the house that a file names, to import them or to run them, or the support of tests that it uses."""
    known = {".".join(("verilora", *module)): module for module in files_of_the_house()}
    known["verilora"] = ("__main__",)
    found: set[Module] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value.partition(":")[0]]
        found |= {known[name] for name in names if name in known}
        support = {ROOT / "tests" / "support" / f"{name}.py" for name in names if name.isidentifier()} - {path}
        found |= {module for file in support if file.is_file() for module in named_by(file)}
    return frozenset(found)


@cache
def next_to(module: Module) -> set[Module]:
    """The files that a file of the house imports or names; there `verilora` is the product, not the command."""
    path = files_of_the_house()[module]
    return ({*imported(path, imports())} | named_by(path)) - {(), ("__main__",)}


@cache
def run_by(test: Path) -> set[Module]:
    """The files that a test file names, and those that stand next to these, by way of others or not."""
    left = [*named_by(test)]
    found = {*left}
    while left:
        new = next_to(left.pop()) - found
        found |= new
        left += new
    return found


def test_the_packages_list_equals_the_tree() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent.relative_to(ROOT).parts for path in python_files(ROOT) if path.parent != ROOT}
    folders = {parts for parts in folders if parts[0] not in NO_ROOMS}
    assert {parts[0] for parts in folders} <= set(ROOMS)
    assert setuptools["packages"] == ["verilora", *sorted(".".join(("verilora", *parts)) for parts in folders)]
    assert setuptools["package-dir"] == {"verilora": "."}


def test_only_the_root_has_an_init_file() -> None:
    found = [path.relative_to(ROOT) for path in python_files(ROOT) if path.name == "__init__.py"]
    assert found == [Path("__init__.py")]


@pytest.mark.parametrize("room", existing_rooms())
def test_a_room_imports_only_rooms_to_its_left(room: str) -> None:
    allowed = {room, *ROOMS[: ROOMS.index(room)]} - ({"kernels"} if room == "specs" else set())
    for module, targets in imports().items():
        if module[0] == room:
            assert {target[0] for target in targets if target} <= allowed, ".".join(module)


@pytest.mark.parametrize("room", WINGS)
def test_a_wing_imports_only_wings_to_its_left(room: str) -> None:
    order = WINGS[room]
    assert {wing_of(module) for module in imports() if module[0] == room} == set(order)
    for module, targets in imports().items():
        if module[0] == room:
            above = {
                target
                for target in targets
                if target[:1] == (room,) and wing_of(target) not in order[: order.index(wing_of(module)) + 1]
            }
            assert not above, f"{'.'.join(module)} imports {above}"


def test_the_model_checker_does_not_know_the_simulator() -> None:
    """In `verify` only what drives controllers does, and the commands for it."""
    knowing = {
        wing_of(module)
        for module, targets in imports().items()
        if module[0] == "verify" and any(target[:1] == ("envs",) for target in targets)
    }
    assert knowing == {"audits", "commands"}


def test_no_file_imports_itself_by_way_of_others() -> None:
    assert not circles(imports())


def test_a_circle_would_be_found() -> None:
    a, b, c = ("a",), ("b",), ("c",)
    assert circles({a: {b}, b: {c}, c: {b}}) == [["a", "b"], ["b", "c"], ["c", "b"]]
    assert not circles({a: {b, c}, b: {c}, c: set()})


@pytest.mark.parametrize(
    "folder", sorted({path.parent for room in existing_rooms() for path in python_files(ROOT / room)})
)
def test_a_folder_is_seen_in_one_look(folder: Path) -> None:
    files = list(folder.glob("*.py"))
    assert len(files) <= MAX_FILES.get(folder.relative_to(ROOT).as_posix(), 12), [file.name for file in files]


def test_every_file_has_a_test_of_its_name_or_a_row_that_says_where_it_is_tested() -> None:
    files = [path.relative_to(ROOT) for path in files_of_the_house().values()]
    without = {file.as_posix() for file in files if not (ROOT / "tests" / file.parent / f"test_{file.name}").is_file()}
    rows = rows_of_other_names()
    assert len(rows) == len({*rows}), "the same twice"
    named = {file for file, _ in rows}
    assert sorted(without - named) == [], f"neither a test of their name nor a row in CONTRIBUTING.md, {ELSEWHERE}"
    assert sorted(named - without) == [], "rows of CONTRIBUTING.md about files that have their test, or that are gone"


@pytest.mark.parametrize(("file", "test"), rows_of_other_names())
def test_where_a_file_is_said_to_be_tested_it_is_imported_or_run(file: str, test: str) -> None:
    assert module_of(ROOT / file) in run_by(ROOT / test)


def test_spot_enters_through_one_door() -> None:
    for path in python_files(ROOT):
        imports = re.findall(r"^\s*(?:import|from) (spot|buddy)\b", path.read_text(), flags=re.MULTILINE)
        assert not imports or path == ROOT / "specs" / "logic.py", path


def test_messages_pass_through_one_door() -> None:
    """What a file says must not command the terminal: `complain` prints on standard error, a console on output."""
    for path in files_of_the_house().values():
        is_door = path == ROOT / "specs" / "files" / "printable.py"
        assert is_door or not re.search(r"file=sys\.stderr|\bprint_exc\(|[^.\w]Console\(\)", path.read_text()), path


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
    docs = ROOT / "docs"
    for path in (*python_files(ROOT), *ROOT.glob("*.md"), *docs.glob("*.md"), *docs.glob("*.json")):
        if path != Path(__file__):
            assert not re.search(r"/(?:home|root|Users)/\w|\bissue #?\d", path.read_text()), path
