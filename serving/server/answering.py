"""Answers as they grow: tokens of the engine become pieces of text, for streams and for answers in one piece alike."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from ..requests.request import Finish, TokenLogprobs
from ..requests.sampling_params import SamplingParams
from ..wire.generation import Generation
from ..wire.messages import Out
from .api.answers import PromptTokensDetails, Reason, Usage
from .front import Front
from .text.incremental_text import IncrementalText


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What is new of one choice.

    offsets  where the text of each token of `logprobs` begins in the answer
    reason   why it has ended; None while it goes on
    """

    index: int
    text: str
    logprobs: tuple[TokenLogprobs, ...]
    offsets: tuple[int, ...]
    reason: Reason | None


@dataclass(slots=True)
class Choice:
    """One answer as it grows."""

    index: int
    growing: IncrementalText
    text: str = ""
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    prompt_logprobs: tuple[TokenLogprobs | None, ...] | None = None
    reason: Reason = "length"
    num_tokens: int = 0

    def take(self, out: Out) -> Piece:
        """Take what is new, and return it as text."""
        said, offsets = [], []
        for token in out.tokens:
            offsets.append(self.growing.num_chars)
            if out.finish is None:
                said.append(self.growing.push((token,)))
            else:
                self.growing.hold((token,))
        if out.finish is not None:
            said.append(self.growing.finish(out.stopped))
            self.reason = "stop" if out.finish is Finish.STOP else "length"
            self.prompt_logprobs = out.prompt_logprobs
        self.num_tokens += len(out.tokens)
        piece = Piece(
            index=self.index,
            text="".join(said),
            logprobs=out.logprobs,
            offsets=tuple(offsets) if out.logprobs else (),
            reason=self.reason if out.finish is not None else None,
        )
        self.text += piece.text
        self.logprobs += piece.logprobs
        self.offsets += piece.offsets
        return piece


class Answering:
    """All choices of a request, from its prompts on."""

    def __init__(
        self, front: Front, model: str, prompts: Sequence[tuple[int, ...]], params: Sequence[SamplingParams]
    ) -> None:
        self._n = params[0].n
        self.choices = [
            Choice(index, front.text.incremental(params[0].stop)) for index in range(len(prompts) * self._n)
        ]
        self._front = front
        self._label = front.metrics.label(model)
        self._num_prompt_tokens = sum(map(len, prompts))
        self._num_cached = 0
        self._started = time.monotonic()
        self._first: float | None = None

    async def pieces(self, generation: Generation) -> AsyncIterator[Piece]:
        """Yield what is new of the choices until all have ended; raises as `Generation.outs` does."""
        metrics = self._front.metrics
        metrics.adapter_requests.labels(self._label).inc()
        async for prompt, out in generation.outs():
            if self._first is None:
                self._first = time.monotonic()
                metrics.first_token.observe(self._first - self._started)
            metrics.adapter_tokens.labels(self._label).inc(len(out.tokens))
            if not out.candidate:
                self._num_cached += out.num_cached
            yield self.choices[prompt * self._n + out.candidate].take(out)
        self._observe_end()

    async def whole(self, generation: Generation) -> None:
        """Take in all of it."""
        async for _ in self.pieces(generation):
            pass

    def usage(self) -> Usage:
        """Return how many tokens it took."""
        produced = sum(choice.num_tokens for choice in self.choices)
        return Usage(
            prompt_tokens=self._num_prompt_tokens,
            completion_tokens=produced,
            total_tokens=self._num_prompt_tokens + produced,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=self._num_cached),
        )

    def _observe_end(self) -> None:
        now, longest = time.monotonic(), max(choice.num_tokens for choice in self.choices)
        self._front.metrics.whole.observe(now - self._started)
        if self._first is not None and longest > 1:
            self._front.metrics.per_token.observe((now - self._first) / (longest - 1))
