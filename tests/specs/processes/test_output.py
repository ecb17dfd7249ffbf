import errno
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import IO

import pytest

from verilora.specs.processes.output import UNREAD, OutputError, guarded_output

FULL = Path("/dev/full")
TOLD = f"error: standard output cannot be written: {os.strerror(errno.ENOSPC)}\n"
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="the system has no full device")


def run(code: str, out: int | IO[str] | None, err: int | IO[str] = subprocess.PIPE) -> tuple[int, str]:
    code = f"import sys\nfrom verilora.specs.processes.output import guarded_output\nwith guarded_output():\n {code}"
    done = subprocess.run([sys.executable, "-c", code], check=False, stdout=out, stderr=err, text=True)
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("print('one line, which waits until the end')", id="at the end"),
        pytest.param("print('x' * 100_000)", id="at once"),
        pytest.param("print('x'); sys.exit(0)", id="with a code of its own"),
        pytest.param("print('x', flush=True)", id="flushed"),
        pytest.param("sys.stdout.writelines(['x'] * 100_000)", id="lines"),
    ],
)
def test_a_full_disk_is_told_in_a_line(code: str) -> None:
    with FULL.open("w") as full:
        assert run(code, full) == (2, TOLD)


@pytest.mark.parametrize("code", ["print('x' * 100_000)", "print('x')"])
def test_a_reader_that_has_gone_ends_it_quietly(code: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run(code, writer) == (UNREAD, "")
    finally:
        os.close(writer)


def test_standard_error_that_is_full_changes_no_code() -> None:
    with FULL.open("w") as full:
        assert run("print('x', file=sys.stderr); sys.exit(1)", subprocess.DEVNULL, full) == (1, "")
        assert run("print('x')", full, full) == (2, "")


def test_streams_are_as_before() -> None:
    before = sys.stdout, sys.stderr
    with guarded_output():
        assert sys.stdout.isatty() == before[0].isatty()
        print("x", end="")
    assert (sys.stdout, sys.stderr) == before


def test_an_output_error_is_none_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(sys, "stdout", Full())

    def mend() -> None:
        with guarded_output():
            try:
                print("x")
            except OSError:
                pytest.fail("taken for the error of a file")

    with pytest.raises(SystemExit, match=r"^2$"):
        mend()
    assert not issubclass(OutputError, OSError)
