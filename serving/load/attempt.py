"""One request as it was sent: when it was due, when its tokens came, and how it ended."""

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from .workload.plan import PlannedRequest


class FailureKind(StrEnum):
    """Why a request was not answered as it should be; an answer of another status than 200 is named by its status."""

    CONNECTION = "connection"
    CUT_OFF = "cut off"
    EMPTY = "empty"
    ERROR_EVENT = "error event"
    NOT_UNDERSTOOD = "not understood"
    TIMEOUT = "timeout"


class Failed(Exception):
    """A request was not answered as it should be."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


@dataclass(slots=True, kw_only=True)
class Attempt:
    """What is measured of one request; times are in seconds of one clock.

    `due` is when it was to be sent, or when another had to end for it. `token_times` are those of the events that hold
    tokens. An attempt that neither succeeded nor failed was interrupted.
    """

    planned: PlannedRequest
    due: float
    sent: float | None = None
    token_times: list[float] = field(default_factory=list)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    has_succeeded: bool = False
    failure: Failed | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it was answered, or failed."""
        return self.has_succeeded or self.failure is not None

    @property
    def late(self) -> float | None:
        """How long after it was due it was sent: the client's own delay."""
        return None if self.sent is None else self.sent - self.due

    @property
    def ttft(self) -> float | None:
        """The time to the first token."""
        return self.token_times[0] - self.sent if self.token_times and self.sent is not None else None

    @property
    def e2e(self) -> float | None:
        """The time to the last token."""
        return self.token_times[-1] - self.sent if self.token_times and self.sent is not None else None

    @property
    def itls(self) -> list[float]:
        """The times between tokens that came one after the other; those of one event came at once."""
        return [later - earlier for earlier, later in pairwise(self.token_times)]

    @property
    def tpot(self) -> float | None:
        """The time a token behind the first one, on average; None for a single token."""
        if self.ttft is None or self.e2e is None or self.num_output_tokens < 2:
            return None
        return (self.e2e - self.ttft) / (self.num_output_tokens - 1)

    @property
    def num_output_tokens(self) -> int:
        """How many tokens the server told; the events that hold some where it told none."""
        return len(self.token_times) if self.completion_tokens is None else self.completion_tokens

    @property
    def num_input_tokens(self) -> int:
        """How many tokens of a prompt the server told; those that were planned where it told none."""
        return self.planned.input_len if self.prompt_tokens is None else self.prompt_tokens
