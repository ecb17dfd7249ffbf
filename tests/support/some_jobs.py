"""Jobs that do what jobs must not, for a host to deal with."""

import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from verilora.serving.workers.job import Job
from verilora.specs.files.errors import InputError


class Pair(msgspec.Struct):
    """Two numbers, or two of anything else that a test wants."""

    first: int
    second: str = ""


def _double(pair: Pair) -> Pair:
    print("what a library prints must not be taken for an answer")
    return Pair(2 * pair.first, pair.second * 2)


def _refuse(where: str) -> Pair:
    raise InputError(Path(where), "got this, expected that", field="it")


def _fail(what: str) -> Pair:
    raise RuntimeError(what)


def _missing(what: str) -> Pair:
    with Path(what).open():
        return Pair(0)


def _sleep(mark: str) -> Pair:
    # There as a whole: whoever sees it may kill this process at once.
    unfinished = Path(f"{mark}.unfinished")
    unfinished.write_text(str(os.getpid()))
    unfinished.rename(mark)
    time.sleep(600)
    return Pair(0)


def _spin(_: int) -> Pair:
    # A signal that is ignored does not save it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        pass


def _allocate(num_bytes: int) -> Pair:
    return Pair(len(bytes(num_bytes)))


def _die(number: int) -> Pair:
    os.kill(os.getpid(), number)
    return Pair(0)


def _process(_: int) -> Pair:
    return Pair(os.getppid(), " ".join(sorted({"torch", "peft", "transformers"} & {*sys.modules})))


def _talk(num_bytes: int) -> Pair:
    return Pair(0, "x" * num_bytes)


DOUBLE = Job("double", _double, Pair, Pair)
REFUSE = Job("refuse", _refuse, str, Pair)
FAIL = Job("fail", _fail, str, Pair)
MISSING = Job("missing", _missing, str, Pair)
SLEEP = Job("sleep", _sleep, str, Pair)
SPIN = Job("spin", _spin, int, Pair)
ALLOCATE = Job("allocate", _allocate, int, Pair)
DIE = Job("die", _die, int, Pair)
PROCESS = Job("process", _process, int, Pair)
TALK = Job("talk", _talk, int, Pair)
UNKNOWN = Job("unknown", _talk, int, Pair)
JOBS = (DOUBLE, REFUSE, FAIL, MISSING, SLEEP, SPIN, ALLOCATE, DIE, PROCESS, TALK)
