"""How kernels are tested.

A test marked `interpreter` calls `launch_x` on CPU tensors. It needs TRITON_INTERPRET=1 before its kernels are
imported, and a process of its own, since nothing compiles in such a process. So all of them that were selected run in
one child, which writes down each outcome; here each is reported under its own name. Tests marked `gpu` are skipped
without a GPU. Memory from `torch.empty` is poisoned in every test, so that a value that no kernel wrote is seen.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
OUTCOMES = "VERILORA_KERNEL_OUTCOMES"
EMPTY = ((torch, "empty"), (torch, "empty_like"), (torch, "empty_strided"), (torch.Tensor, "new_empty"))
outcomes_key = pytest.StashKey[dict[str, dict[str, str]]]()
resources_key = pytest.StashKey[list[str]]()


def poisoned(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return `make`, filling what it returns with NaN, or with the largest number where there is no NaN."""

    def make_poisoned(*arguments: Any, **options: Any) -> torch.Tensor:
        tensor = make(*arguments, **options)
        if tensor.dtype == torch.bool:
            return tensor.fill_(True)
        return tensor.fill_(float("nan") if tensor.dtype.is_floating_point else torch.iinfo(tensor.dtype).max)

    return make_poisoned


@pytest.fixture(autouse=True)
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in EMPTY:
        monkeypatch.setattr(owner, name, poisoned(getattr(owner, name)))


def is_interpreter_test(item: pytest.Item) -> bool:
    return item.get_closest_marker("interpreter") is not None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if IS_INTERPRETED or not is_interpreter_test(pyfuncitem):
        return None
    session = pyfuncitem.session
    if outcomes_key not in session.stash:
        session.stash[outcomes_key] = run_interpreter_tests(
            [item for item in session.items if is_interpreter_test(item)]
        )
    outcome = session.stash[outcomes_key][pyfuncitem.nodeid]
    if outcome["outcome"] == "skipped":
        pytest.skip(outcome["text"])
    if outcome["outcome"] != "passed":
        pytest.fail(outcome["text"], pytrace=False)
    return True


def run_interpreter_tests(items: list[pytest.Item]) -> dict[str, dict[str, str]]:
    """Return how each test ended in a child process that interprets kernels."""
    path = items[0].config.rootpath / ".pytest_cache" / f"interpreter-{os.getpid()}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    environment = {**os.environ, "TRITON_INTERPRET": "1", OUTCOMES: str(path)}
    ids = "\n".join(str(item.config.rootpath / item.nodeid) for item in items)
    selected = path.with_suffix(".args")
    selected.write_text(ids)
    command = [sys.executable, "-m", "pytest", "-q", "--confcutdir", str(Path(__file__).parent), f"@{selected}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, text=True)
    outcomes = {line["id"]: line for line in map(json.loads, path.read_text().splitlines())}
    said = done.stdout[-4000:] + done.stderr[-4000:]
    missing = {"outcome": "failed", "text": f"the child did not run this test\n{said}"}
    path.unlink()
    selected.unlink()
    return {item.nodeid: outcomes.get(item.nodeid, missing) for item in items}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    path = os.environ.get(OUTCOMES)
    if path and (report.when == "call" or report.outcome != "passed"):
        text = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else report.longreprtext
        with open(path, "a") as file:
            file.write(json.dumps({"id": report.nodeid, "outcome": report.outcome, "text": text}) + "\n")


@pytest.fixture(scope="session")
def resources(request: pytest.FixtureRequest) -> list[str]:
    """Lines on what each compiled kernel uses, printed at the end of a verbose run."""
    lines: list[str] = []
    request.config.stash[resources_key] = lines
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash.get(resources_key, [])
    if lines and config.option.verbose > 0:
        terminalreporter.section("resources of the compiled kernels")
        for line in sorted(lines):
            terminalreporter.write_line(line)
