"""A draw: what was launched for the rows of a step, and the tokens that the host reads of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ...kernels.tokens.logprobs import Logprobs, logprobs
from ..memory.upload import on_device
from ..requests.request import TokenLogprobs, TokenMatcher
from ..requests.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class Drawn:
    """A token, or why none could be drawn: `is_refused` says that the request left none.

    With `is_last` the grammar lets nothing follow.
    """

    token_id: int
    logprobs: TokenLogprobs | None = None
    error: str = ""
    is_refused: bool = False
    is_last: bool = False


@dataclass(slots=True)
class Row:
    """A sequence that draws: its slot in the tables, and from which position on its noise is there."""

    slot: int
    params: SamplingParams
    seed: int
    num_prompt: int
    ends: frozenset[int]
    matcher: TokenMatcher | None
    noise_start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """A draw that was launched: `tokens` int64 [num_rows] on the device, and what the host reads once it is there."""

    sequences: list[int]
    tokens: torch.Tensor
    rows: list[Row]
    positions: list[int]
    result: torch.Tensor
    failed: dict[int, str]
    told: list[int]
    logprobs: Logprobs | None
    is_ready: torch.cuda.Event | None

    def read(self) -> list[Drawn]:
        """Return the tokens, once they are there."""
        if self.is_ready is not None:
            self.is_ready.synchronize()
        drawn = []
        tokens, are_finite = self.result.tolist()
        for number, (row, token, is_finite) in enumerate(zip(self.rows, tokens, are_finite, strict=True)):
            if self.positions[number] < 0:
                drawn.append(Drawn(-1))
            elif not is_finite:
                drawn.append(Drawn(-1, error="logits, got some that are not finite, expected numbers to choose by"))
            elif number in self.failed:
                drawn.append(Drawn(-1, error=self.failed[number]))
            elif token < 0:
                drawn.append(Drawn(-1, error=_dead_end(row), is_refused=True))
            else:
                drawn.append(_accepted(row, token))
        if self.logprobs is not None:
            counts = [self.rows[number].params.logprobs or 0 for number in self.told]
            chosen = [drawn[number].token_id for number in self.told]
            for number, found in zip(self.told, _told(self.logprobs, chosen, counts), strict=True):
                drawn[number] = replace(drawn[number], logprobs=found)
        return drawn


def top_logprobs(logits: torch.Tensor, tokens: Sequence[int], counts: Sequence[int]) -> list[TokenLogprobs]:
    """Return the log-probability of a token in each row, with so many of the likeliest."""
    return _told(logprobs(logits, on_device(torch.tensor(tokens), logits.device), max(counts)), tokens, counts)


def _told(found: Logprobs, tokens: Sequence[int], counts: Sequence[int]) -> list[TokenLogprobs]:
    chosen, top, top_ids = found.chosen.tolist(), found.top.tolist(), found.top_ids.tolist()
    return [
        TokenLogprobs(token, chosen[row], tuple(zip(top_ids[row][:count], top[row][:count], strict=True)))
        for row, (token, count) in enumerate(zip(tokens, counts, strict=True))
    ]


def _accepted(row: Row, token: int) -> Drawn:
    """Return a token of which the row's grammar, if it has one, has taken note."""
    if row.matcher is None:
        return Drawn(token)
    try:
        if not row.matcher.accept_token(token):
            message = f"token {token}, forced, expected one that the grammar allows"
            return Drawn(-1, error=message, is_refused=True)
        return Drawn(token, is_last=row.matcher.is_terminated())
    except Exception as error:
        return Drawn(-1, error=grammar_error(error))


def _dead_end(row: Row) -> str:
    """Return what is said of a request that lets no token follow: by its grammar, its bans, or both."""
    if row.matcher is None:
        return "token, got none that may follow, expected at least one"
    return "grammar, got no token that may follow with what else is asked for, expected at least one"


def grammar_error(error: Exception) -> str:
    """Return what is said of a grammar that failed."""
    return f"grammar, failed: {type(error).__name__}: {error}"
