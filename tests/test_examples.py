"""The examples, run as a reader runs them: scripts in processes of their own, the notebook in a kernel."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOK = EXAMPLES / "own_rule.ipynb"
PRINTED = {
    "drive_a_controller.py": "of 20 episodes arrived",
    "lint_a_rule.py": "no controller keeps all applicable rules with no gate; without phi14 one does",
    "verify_a_controller.py": "  step 2: green traffic light, pedestrian at right -> turn right\n",
}


def test_no_example_is_left_out() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == {*PRINTED, NOTEBOOK.name}


@pytest.mark.parametrize("name", PRINTED)
def test_a_script_is_short_and_runs(name: str, tmp_path: Path) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) <= 30
    done = subprocess.run(
        [sys.executable, EXAMPLES / name], cwd=tmp_path, capture_output=True, check=False, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert PRINTED[name] in done.stdout


def test_the_notebook_shows_what_it_shows_when_it_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    assert NOTEBOOK.stat().st_size < 200_000
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    shown = outputs(notebook)
    assert "<svg" in str(shown)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=where).execute()
    assert outputs(notebook) == shown


def outputs(notebook: Any) -> list[tuple[str, Any]]:
    """Return each cell's source with what it shows."""
    return [(cell.source, cell.get("outputs", [])) for cell in notebook.cells]
