"""The process that forks a child for each job: it has no threads and no torch, and ends when its pipe does.

    python -m verilora.serving.workers.job_host NUM_SIDE_BY_SIDE MODULE ...

Each module has a table `JOBS` of the jobs that may be asked for.
"""

import importlib
import os
import selectors
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from .frames import MAX_BYTES, Frames, framed, write_all
from .job import Answer, Call, Cancel, Failure, Job, Outcome
from .job_child import run_child

_PIECE = 2**16
_MAX_ANSWER = MAX_BYTES // 2
_TOO_LONG = "it took longer than it may"
_Asked = msgspec.msgpack.Decoder(Call | Cancel)
_Outcome = msgspec.msgpack.Decoder(Outcome)


@dataclass(eq=False, slots=True)
class Child:
    """A process that runs a job."""

    call: Call
    process: int
    receiver: int
    deadline: float
    content: bytearray = field(default_factory=bytearray)


class Host:
    """Runs the calls that come on one pipe and answers on another."""

    def __init__(self, jobs: Mapping[str, Job[Any, Any]], num_side_by_side: int, asked: int, answers: int) -> None:
        self._jobs = jobs
        self._num_side_by_side = num_side_by_side
        self._asked, self._answers = asked, answers
        self._frames = Frames()
        self._waiting: deque[tuple[float, Call]] = deque()
        self._children: dict[int, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(asked, selectors.EVENT_READ)

    def serve(self) -> None:
        """Run jobs until nobody can ask for more."""
        try:
            while True:
                for key, _ in self._selector.select(self._patience()):
                    if key.fd == self._asked:
                        if not self._take(os.read(self._asked, _PIECE)):
                            return
                    elif child := self._children.get(key.fd):
                        # Else it was cancelled just now.
                        self._read(child)
                self._end_late()
                while self._waiting and len(self._children) < self._num_side_by_side:
                    self._begin(*self._waiting.popleft())
        finally:
            for child in [*self._children.values()]:
                self._end(child)

    def _patience(self) -> float | None:
        """Return for how long nothing but a message can happen."""
        ends = [child.deadline for child in self._children.values()] + [deadline for deadline, _ in self._waiting]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _take(self, content: bytes) -> bool:
        for message in self._frames.feed(content):
            asked = _Asked.decode(message)
            if isinstance(asked, Call):
                self._waiting.append((time.monotonic() + asked.seconds, asked))
            else:
                self._cancel(asked.number)
        return bool(content)

    def _cancel(self, number: int) -> None:
        self._waiting = deque(one for one in self._waiting if one[1].number != number)
        for child in [child for child in self._children.values() if child.call.number == number]:
            self._end(child)

    def _begin(self, deadline: float, call: Call) -> None:
        receiver, sender = os.pipe()
        process = os.fork()
        if not process:
            # Nobody else's pipes: one that stays open would hide that its other end is gone.
            for descriptor in (self._asked, self._answers, receiver, *self._children):
                os.close(descriptor)
            run_child(call, self._jobs, sender, deadline - time.monotonic())
        os.close(sender)
        self._children[receiver] = Child(call, process, receiver, deadline)
        self._selector.register(receiver, selectors.EVENT_READ)

    def _read(self, child: Child) -> None:
        content = os.read(child.receiver, _PIECE)
        child.content += content
        if not content:
            self._answer(child.call, self._ended(child))
        elif len(child.content) > _MAX_ANSWER:
            self._end(child)
            self._answer(child.call, Outcome(failure=Failure.CRASHED, message="its answer is too long"))

    def _ended(self, child: Child) -> Outcome:
        """Return what a child came to that has said all that it will say."""
        status = self._end(child)
        try:
            return _Outcome.decode(child.content)
        except msgspec.DecodeError:
            code = os.waitstatus_to_exitcode(status)
            why = signal.Signals(-code).name if code < 0 else f"code {code}"
            return Outcome(failure=Failure.CRASHED, message=f"its process ended with {why}")

    def _end_late(self) -> None:
        now = time.monotonic()
        for child in [child for child in self._children.values() if child.deadline <= now]:
            self._end(child)
            self._answer(child.call, Outcome(failure=Failure.TIME, message=_TOO_LONG))
        for _, call in [one for one in self._waiting if one[0] <= now]:
            self._answer(call, Outcome(failure=Failure.TIME, message="others took all the time that it may wait"))
        self._waiting = deque(one for one in self._waiting if one[0] > now)

    def _end(self, child: Child) -> int:
        """Kill a child if it still runs, and return the status that it ended with."""
        self._selector.unregister(child.receiver)
        del self._children[child.receiver]
        os.close(child.receiver)
        with suppress(ProcessLookupError):
            os.kill(child.process, signal.SIGKILL)
        return os.waitpid(child.process, 0)[1]

    def _answer(self, call: Call, outcome: Outcome) -> None:
        write_all(self._answers, framed(msgspec.msgpack.encode(Answer(call.number, outcome))))


def table(modules: Iterable[str]) -> dict[str, Job[Any, Any]]:
    """Return the jobs of some modules by their names."""
    return {job.name: job for module in modules for job in importlib.import_module(module).JOBS}


def main(num_side_by_side: str, *modules: str) -> None:
    """Serve on standard input and output; whatever else is printed goes to standard error."""
    # Ctrl-C reaches the whole group; the front ends this process by leaving.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked, answers = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    with suppress(BrokenPipeError):
        Host(table(modules), int(num_side_by_side), asked, answers).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
