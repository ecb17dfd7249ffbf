"""How kernels are tested.

A test marked `interpreter` calls `launch_x` on CPU tensors. It needs TRITON_INTERPRET=1 before its kernels are
imported, and a process of its own, since nothing compiles in such a process. So all of them that were selected run in
one child, which writes down each outcome, beside all other tests; here each is reported under its own name, after the
others. Tests marked `gpu` are skipped without a GPU. Memory from `torch.empty` is poisoned in every test, so that a
value that no kernel wrote is seen.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
OUTCOMES = "VERILORA_KERNEL_OUTCOMES"
EMPTY = ((torch, "empty"), (torch, "empty_like"), (torch, "empty_strided"), (torch.Tensor, "new_empty"))
interpreted_key = pytest.StashKey["Interpreted"]()
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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not IS_INTERPRETED:
        items.sort(key=is_interpreter_test)


def pytest_collection_finish(session: pytest.Session) -> None:
    items = [item for item in session.items if is_interpreter_test(item)]
    if items and not IS_INTERPRETED and not session.config.option.collectonly:
        session.config.stash[interpreted_key] = Interpreted(items)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if IS_INTERPRETED or not is_interpreter_test(pyfuncitem):
        return None
    outcome = pyfuncitem.config.stash[interpreted_key].outcome(pyfuncitem)
    if outcome["outcome"] == "skipped":
        pytest.skip(outcome["text"])
    if outcome["outcome"] != "passed":
        pytest.fail(outcome["text"], pytrace=False)
    return True


def pytest_unconfigure(config: pytest.Config) -> None:
    if interpreted_key in config.stash:
        config.stash[interpreted_key].end()


class Interpreted:
    """Tests that run from now on in a child process that interprets kernels."""

    def __init__(self, items: list[pytest.Item]) -> None:
        root = items[0].config.rootpath
        self._folder = TemporaryDirectory(prefix="interpreter-")
        self._outcomes = Path(self._folder.name) / "outcomes.jsonl"
        self._outcomes.touch()
        selected = Path(self._folder.name) / "selected"
        selected.write_text("\n".join(str(root / item.nodeid) for item in items))
        environment = {**os.environ, "TRITON_INTERPRET": "1", OUTCOMES: str(self._outcomes)}
        command = [sys.executable, "-m", "pytest", "-q", "--confcutdir", str(Path(__file__).parent), f"@{selected}"]
        # Into a file, as nobody reads it meanwhile.
        self._output = Path(self._folder.name) / "output"
        with self._output.open("w") as output:
            self._child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        self._ended: dict[str, dict[str, str]] = {}

    def outcome(self, item: pytest.Item) -> dict[str, str]:
        """Return how a test ended, once all have."""
        self._child.wait()
        if not self._ended:
            self._ended = {line["id"]: line for line in map(json.loads, self._outcomes.read_text().splitlines())}
        said = self._output.read_text()[-8000:]
        return self._ended.get(item.nodeid, {"outcome": "failed", "text": f"the child did not run this test\n{said}"})

    def end(self) -> None:
        """Kill the child if it still runs."""
        self._child.kill()
        self._child.wait()
        self._folder.cleanup()


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
