"""A sequence: one continuation of a request on its way through the engine."""

from dataclasses import dataclass, field
from enum import Enum

from ..memory.adapter_store import Version
from ..memory.prefix_cache import Part
from .request import Finish, Output, Request, TokenLogprobs


class Phase(Enum):
    """Where a sequence stands. SWAPPED waits like WAITING, and has its keys and values in host memory."""

    WAITING = "waiting"
    SWAPPED = "swapped"
    PREFILL = "prefill"
    DECODE = "decode"
    DONE = "done"


@dataclass(eq=False, slots=True, kw_only=True)
class Sequence:
    """What the scheduler knows of a sequence.

    tokens    the prompt and what was drawn behind it
    num_done  tokens whose keys and values are cached
    is_drawn  whether a further token was drawn that the host does not know yet
    error     why it has failed, and `is_refused` whether that is its request's own fault
    parts     how its tokens stand in the prefix cache, and `used` those of them that it keeps there
    limit     tokens it may have in all
    """

    id: int
    request: Request
    candidate: int
    version: Version | None
    arrival: float
    tokens: list[int]
    parts: list[Part]
    limit: int
    phase: Phase = Phase.WAITING
    num_done: int = 0
    is_drawn: bool = False
    num_cached: int = 0
    blocks: list[tuple[int, ...]] = field(default_factory=list)
    used: list[Part] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    prompt_logprobs: list[TokenLogprobs | None] = field(default_factory=list)
    finish: Finish | None = None
    error: str = ""
    is_refused: bool = False
    stopped_text: str | None = None
    # Whether it ran before.
    has_begun: bool = False

    @property
    def num_prompt(self) -> int:
        return len(self.request.prompt)

    @property
    def num_produced(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def is_running(self) -> bool:
        return self.phase in (Phase.PREFILL, Phase.DECODE)

    def output(self) -> Output:
        """Return what came of it."""
        assert self.finish is not None, "a sequence has an output once it ended"
        params = self.request.params
        return Output(
            candidate=self.candidate,
            token_ids=tuple(self.tokens[self.num_prompt :]),
            finish=self.finish,
            error=self.error,
            num_prompt_tokens=self.num_prompt,
            num_cached_tokens=self.num_cached,
            logprobs=tuple(self.logprobs) if params.logprobs is not None else None,
            prompt_logprobs=tuple(self.prompt_logprobs) if params.prompt_logprobs else None,
            stopped_text=self.stopped_text,
        )
