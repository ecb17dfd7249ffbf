"""What a job is: a named function of one value, run in a process of its own, and how it can fail."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from ...specs.files.errors import InputError

A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Job(Generic[A, R]):
    """A function that a host of jobs knows by its name. Argument and result are values that msgspec can write."""

    name: str
    function: Callable[[A], R]
    argument: type[A]
    result: type[R]


class Missing(InputError):
    """What a job was asked about is not there."""


class Failure(StrEnum):
    """Why a job has no result: its input is not there or cannot be used, it hit a limit, it or its host ended."""

    MISSING = "missing"
    REFUSED = "refused"
    TIME = "time"
    MEMORY = "memory"
    CRASHED = "crashed"
    HOST = "host"


class JobFailed(Exception):
    """A job without a result. The reason names no path, and is fit for whoever asked for the job."""

    def __init__(self, job: str, failure: Failure, reason: str) -> None:
        super().__init__(f"{job}: {reason}")
        self.failure = failure
        self.reason = reason


class Call(msgspec.Struct, frozen=True, array_like=True, tag="call"):
    """A job that is to run. It is killed `seconds` after it came, may be while it waits."""

    number: int
    job: str
    argument: bytes
    seconds: float
    memory_bytes: int


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """A job that nobody waits for any more."""

    number: int


class Outcome(msgspec.Struct, frozen=True, array_like=True, tag="outcome"):
    """What a job came to: its result, or how it failed with what there is to say about it."""

    result: bytes = b""
    failure: str = ""
    message: str = ""


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    """The outcome of the call that has this number."""

    number: int
    outcome: Outcome
