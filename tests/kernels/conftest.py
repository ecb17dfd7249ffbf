"""How kernels are tested.

A test marked `interpreter` calls `launch_x` on CPU tensors. It needs TRITON_INTERPRET=1 before its kernels are
imported, and a process of its own, since nothing compiles in such a process. So a child runs it on request; here it is
reported under its own name. A single process asks for all such tests at once, so that its child runs them beside the
others, and reports them last; each worker of pytest-xdist has a child of its own, and waits for it, as it has one core.
Tests marked `gpu` are skipped without a GPU. Memory from `torch.empty` is poisoned in every test, so that a value that
no kernel wrote is seen.
"""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
QUESTIONS = "VERILORA_INTERPRETER_QUESTIONS"
EMPTY = ((torch, "empty"), (torch, "empty_like"), (torch, "empty_strided"), (torch.Tensor, "new_empty"))
interpreter_key = pytest.StashKey["Interpreter"]()
Outcome = tuple[str, str]
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


def shares_its_work(config: pytest.Config) -> bool:
    """Return whether this is one of several processes that run tests."""
    return hasattr(config, "workerinput")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not (IS_INTERPRETED or shares_its_work(config)):
        items.sort(key=is_interpreter_test)


def pytest_collection_finish(session: pytest.Session) -> None:
    items = [item for item in session.items if is_interpreter_test(item)]
    if items and not IS_INTERPRETED and not session.config.option.collectonly:
        session.config.stash[interpreter_key] = interpreter = Interpreter(items)
        if not shares_its_work(session.config):
            interpreter.ask([item.nodeid for item in group] for _, group in groupby(items, lambda item: item.path))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if IS_INTERPRETED or not is_interpreter_test(pyfuncitem):
        return None
    outcome, text = pyfuncitem.config.stash[interpreter_key].outcome(pyfuncitem.nodeid)
    if outcome == "skipped":
        pytest.skip(text)
    if outcome != "passed":
        pytest.fail(text, pytrace=False)
    return True


def pytest_unconfigure(config: pytest.Config) -> None:
    if interpreter_key in config.stash:
        config.stash[interpreter_key].end()


class Interpreter:
    """A child process that interprets kernels and runs those tests that it is asked for, one after another."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        self._items = items
        self._awaited: deque[list[str]] = deque()
        self._outcomes: dict[str, Outcome | None] = {}
        self._folder = TemporaryDirectory(prefix="interpreter-")
        # Into a file, as nobody reads it meanwhile.
        self._output = Path(self._folder.name) / "output"
        self._child: subprocess.Popen[bytes] | None = None

    def ask(self, groups: Iterable[list[str]]) -> None:
        """Have groups of tests run in this order. The outcomes come by group."""
        if self._child is None:
            self._start()
        asked = list(groups)
        self._awaited.extend(asked)
        self._outcomes |= {node_id: None for group in asked for node_id in group}
        # All at once: what nobody has read yet must not fill a pipe, since then nothing would run side by side.
        with suppress(OSError):
            self._connection.send(asked)

    def outcome(self, node_id: str) -> Outcome:
        """Return how a test ended, and what is to be said of that."""
        if node_id not in self._outcomes:
            self.ask([[node_id]])
        while (outcome := self._outcomes[node_id]) is None:
            try:
                outcomes = self._connection.recv()
            except (EOFError, OSError):
                return "failed", f"the child did not run this test\n{self._output.read_text()[-8000:]}"
            self._outcomes |= zip(self._awaited.popleft(), outcomes, strict=True)
        return outcome

    def end(self) -> None:
        """Kill the child if it still runs."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._connection.close()
        self._folder.cleanup()

    def _start(self) -> None:
        root = self._items[0].config.rootpath
        selected = Path(self._folder.name) / "selected"
        selected.write_text("\n".join(str(root / item.nodeid) for item in self._items))
        command = [sys.executable, "-m", "pytest", "-q", "--confcutdir", str(Path(__file__).parent), f"@{selected}"]
        self._connection, theirs = Pipe()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_")}
        environment |= {"TRITON_INTERPRET": "1", QUESTIONS: str(theirs.fileno())}
        with self._output.open("w") as output, theirs:
            self._child = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
            )


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """In the child, run what is asked for until nobody asks any more."""
    if QUESTIONS not in os.environ or session.testsfailed:
        return None
    items = {item.nodeid: item for item in session.items}
    reports = Reports()
    session.config.pluginmanager.register(reports)
    with Connection(int(os.environ[QUESTIONS])) as connection, suppress(EOFError, BrokenPipeError):
        while True:
            for group in connection.recv():
                for node_id in group:
                    session.config.hook.pytest_runtest_protocol(item=items[node_id], nextitem=None)
                connection.send([reports.outcomes.pop(node_id) for node_id in group])
    return True


class Reports:
    """How tests ended: the first thing that was not as it should be, else that they passed."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.outcomes.get(report.nodeid, ("passed", ""))[0] == "passed":
            text = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else report.longreprtext
            self.outcomes[report.nodeid] = (report.outcome, text)


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
