"""A request to the engine, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from .sampling_params import SamplingParams


class TokenMatcher(Protocol):
    """A grammar's state in one sequence: which tokens may follow; xgrammar's `GrammarMatcher` is one."""

    def fill_next_token_bitmask(self, bitmask: Any, index: int) -> Any:
        """Write a bit for each token that may follow into row `index` of int32 [num_rows, vocab_size / 32]."""

    def accept_token(self, token_id: int) -> bool:
        """Take note of a token; False if it may not follow."""

    def is_terminated(self) -> bool:
        """Return whether the answer is whole, so that nothing may follow; then it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A prompt, and how it is continued.

    adapter    the name of a registered adapter, None for the base model
    tenant     whose it is, for fair share and for its own prefixes
    is_shared  whether its prompt's prefixes may serve other tenants' requests, and theirs its own
    deadline   how many seconds from its arrival on its first token is of use; then it ends unserved
    grammar    makes the matcher of a sequence
    """

    prompt: tuple[int, ...]
    params: SamplingParams = field(default_factory=SamplingParams)
    adapter: str | None = None
    tenant: str = ""
    is_shared: bool = False
    deadline: float | None = None
    grammar: Callable[[], TokenMatcher] | None = None


class Finish(StrEnum):
    """Why a sequence ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """The log-probability of a token, and the likeliest tokens with theirs, falling. Of the model, before filters."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One continuation of a request. `candidate` numbers those of `n`; `error` says what went wrong."""

    candidate: int
    token_ids: tuple[int, ...]
    finish: Finish
    error: str = ""
    num_prompt_tokens: int
    num_cached_tokens: int = 0
    logprobs: tuple[TokenLogprobs, ...] | None = None
    prompt_logprobs: tuple[TokenLogprobs | None, ...] | None = None
    # The text up to the stop string, if one ended it.
    stopped_text: str | None = None
