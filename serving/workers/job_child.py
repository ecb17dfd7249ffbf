"""The life of one job in its own process: limits, the function, and its outcome on a pipe."""

import logging
import os
import resource
import signal
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from ...specs.files.errors import InputError
from .frames import write_all
from .job import Call, Failure, Job, Missing, Outcome

_LOG = logging.getLogger(__name__)
# A child whose host was killed ends by itself, this long after its time.
SPARE_SECONDS = 1.0
# What a stranger's file makes a message say may be as long as the file.
MAX_MESSAGE = 1_000


def run_child(call: Call, jobs: Mapping[str, Job[Any, Any]], sender: int, seconds: float) -> NoReturn:
    """Run a job in a process that was just forked for it, and end this process."""
    try:
        _limit(call.memory_bytes, seconds)
        write_all(sender, msgspec.msgpack.encode(outcome_of(call, jobs)))
    finally:
        os._exit(0)


def outcome_of(call: Call, jobs: Mapping[str, Job[Any, Any]]) -> Outcome:
    """Return what a job comes to, whatever goes wrong in it."""
    try:
        job = jobs[call.job]
        argument = msgspec.msgpack.decode(call.argument, type=job.argument)
        return Outcome(result=msgspec.msgpack.encode(job.function(argument)))
    except InputError as error:
        return Outcome(
            failure=Failure.MISSING if isinstance(error, Missing) else Failure.REFUSED,
            message=error.public[:MAX_MESSAGE],
        )
    except MemoryError:
        return Outcome(failure=Failure.MEMORY, message="it needs more memory than it may have")
    except OSError as error:
        _LOG.exception("the job %s failed", call.job)
        return Outcome(failure=Failure.CRASHED, message=_unnamed(error))
    except Exception as error:
        _LOG.exception("the job %s failed", call.job)
        return Outcome(failure=Failure.CRASHED, message=f"it failed: {type(error).__name__}")


def _unnamed(error: OSError) -> str:
    """Return what the system says, without the name of the file that it says it of."""
    return f"it failed: {error.strerror or type(error).__name__}"


def _limit(memory_bytes: int, seconds: float) -> None:
    """Let this process take so much memory beyond what it came with, and so long."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0) + SPARE_SECONDS)
    most = _address_space() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _address_space() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
