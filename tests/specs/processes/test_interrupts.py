import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from verilora.specs.processes.interrupts import heeded_interrupts

SWALLOWS = """
import time
try:
    print("importing", flush=True)
    time.sleep(0.5)
    print("slept", flush=True)
except BaseException:
    print("swallowed", flush=True)
"""
FINALISER = """
class Held:
    def __del__(self):
        exec(open("swallows.py").read())
Held()
"""
CODE = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from verilora.specs.processes.interrupts import heeded_interrupts
try:
    with heeded_interrupts():
        {work}
        time.sleep(5)
        print("too late")
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(
    ("work", "said"),
    [
        pytest.param("import swallows", ["importing", "slept", "interrupted"], id="import"),
        pytest.param("import finaliser", ["importing", "slept", "interrupted"], id="finaliser in an import"),
        pytest.param("exec(open('finaliser.py').read())", ["importing", "slept", "interrupted"], id="finaliser"),
        pytest.param("print('importing', flush=True)", ["importing", "interrupted"], id="no import"),
    ],
)
def test_what_would_swallow_it_ends_first(work: str, said: list[str], tmp_path: Path) -> None:
    (tmp_path / "swallows.py").write_text(SWALLOWS)
    (tmp_path / "finaliser.py").write_text(FINALISER)
    code = f"import sys\nsys.path.insert(0, '.')\n{CODE.format(work=work)}"
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert running.stdout.readline() == "importing\n"
        time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read().split()
    assert ["importing", *rest] == said


def test_one_that_waits_at_the_end_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt), heeded_interrupts():
        signal.setitimer(signal.ITIMER_REAL, 60)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_handlers_are_as_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    with heeded_interrupts():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)) == before


def test_who_ignores_it_goes_on_ignoring_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with heeded_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
