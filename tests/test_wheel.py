"""The wheel holds all that is needed: it is built, installed elsewhere and used there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from controllers import YIELDING

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which a freshly built wheel was installed."""
    source = tmp_path_factory.mktemp("source") / "verilora"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__"))
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, source], check=True)
    subprocess.run([*pip, "install", "--no-deps", "--target", target, next(wheels.glob("*.whl"))], check=True)
    return target


def run(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, check=False, text=True
    )


@pytest.mark.slow
def test_a_controller_is_verified_with_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    where = run(installed, "-c", "import verilora; print(verilora.__file__)", cwd=tmp_path)
    assert Path(where.stdout.strip()) == installed / "verilora" / "__init__.py"
    (tmp_path / "steps.txt").write_text(f"Task: right-at-traffic-light\n{YIELDING}\n")
    done = run(installed, "-m", "verilora", "verify", "steps.txt", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "compliance 100%" in done.stdout


@pytest.mark.slow
def test_the_wheel_holds_the_data_and_no_tests(installed: Path) -> None:
    package = installed / "verilora"
    shipped = {path.relative_to(ROOT) for path in (ROOT / "specs").rglob("*.yaml")}
    assert shipped
    assert all((package / path).is_file() for path in shipped)
    changes = {path.relative_to(ROOT) for path in (ROOT / "serving" / "adapters" / "migrations").rglob("*.py")}
    assert changes
    assert all((package / path).is_file() for path in changes)
    assert (package / "py.typed").is_file()
    assert not [folder for folder in ("tests", "examples") if (package / folder).exists()]
    assert {path.name for path in (installed / "bin").iterdir()} == {"train", "verilora"}


@pytest.mark.slow
def test_the_installed_wheel_makes_the_database(installed: Path, tmp_path: Path) -> None:
    code = (
        "from verilora.serving.adapters.sql.database import database_url, open_database\n"
        "from pathlib import Path\n"
        "open_database(database_url(Path())).dispose()"
    )
    done = run(installed, "-c", code, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "verilora.db").is_file()
