"""The examples, run as a reader runs them: scripts in processes of their own, the notebook in a kernel."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from verilora.specs.domain import Domain
from verilora.synth.models.chat import Chat

from servers import serving
from tiny_models import base_model
from trained_adapters import train_adapter

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOK = EXAMPLES / "own_rule.ipynb"
SERVED = EXAMPLES / "serve_and_verify.py"
PRINTED = {
    "drive_a_controller.py": "of 20 episodes arrived",
    "lint_a_rule.py": "no controller keeps phi9, phi14, hasty with no gate; without phi14 one keeps all that is left",
    "verify_a_controller.py": "  step 2: green traffic light, pedestrian at right -> turn right\n",
}
GOOD = """1. observe car from left and opposite car and pedestrian at right
2. if no car from left and no opposite car and no pedestrian at right, turn right"""


def test_no_example_is_left_out() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == {*PRINTED, NOTEBOOK.name, SERVED.name}


@pytest.mark.parametrize("name", PRINTED)
def test_a_script_is_short_and_runs(name: str, tmp_path: Path) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) <= 30
    assert PRINTED[name] in run_script(EXAMPLES / name, tmp_path)


def run_script(script: Path, folder: Path, *arguments: str) -> str:
    """Return what a script prints that runs in a folder."""
    command = [sys.executable, script, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.slow
def test_an_adapter_answers_better_over_http(driving: Domain, tmp_path: Path) -> None:
    """The adapter has learned one good answer to the task's training wordings, and is asked in others."""
    assert len(SERVED.read_text().splitlines()) <= 30
    chat, task = Chat(), driving.task("right-at-traffic-light")
    good = [*chat.tokenizer.encode(GOOD, add_special_tokens=False), chat.tokenizer.eos_token_id]
    asked = chat.encode([({"role": "user", "content": wording},) for wording in task.wordings["train"]])
    adapter = train_adapter(tmp_path / "adapter", base_model(), [[*prompt, *good] for prompt in asked], rank=8)
    with serving(tmp_path / "log", "--adapter", f"driving={adapter}") as served:
        printed = run_script(SERVED, tmp_path, served.url.removesuffix("/v1"))
    found = re.findall(r"^(\w+) +compliance (\d+)%, (\d+) of 48 answers keep all rules$", printed, re.MULTILINE)
    assert [name for name, *_ in found] == ["base", "driving"], printed
    (_, *before), (_, *after) = found
    assert int(before[0]) < 70 < int(after[0])
    assert int(before[1]) < int(after[1])


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
