"""Draws the tokens of a step, a row a sequence, each as its request asks and whatever other rows there are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from ...kernels.tokens.draw_arithmetic import philox
from ...kernels.tokens.logprobs import logprobs
from ...kernels.tokens.sampling import sample
from ...kernels.tokens.sampling_table import neutral_table
from ...kernels.tokens.token_bitmask import WORD_BITS, apply_token_bitmask, pack_bitmask
from ..requests.request import TokenLogprobs, TokenMatcher
from ..requests.sampling_params import SamplingParams

# How many draws of a sequence are made at a time.
NOISE_LEN = 64
# Below it only the likeliest token has a chance.
COLDEST = 1e-30


@dataclass(frozen=True, slots=True)
class Drawn:
    """A token, or why none could be drawn. With `is_last` the grammar lets nothing follow."""

    token_id: int
    logprobs: TokenLogprobs | None = None
    error: str = ""
    is_last: bool = False


@dataclass(slots=True)
class _Row:
    """A sequence that draws: its slot in the tables, and from which position on its noise is there."""

    slot: int
    params: SamplingParams
    num_prompt: int
    ends: frozenset[int]
    matcher: TokenMatcher | None
    noise_start: int


class Sampler:
    """What each running sequence asks of its draws.

    A draw is fixed by the sequence's seed and the position of its token (Philox). On a CPU plain rows, which leave
    nothing out, take the inverse of the summed probabilities; all others take the kernel `sample`.
    """

    def __init__(self, num_slots: int, vocab_size: int, device: torch.device) -> None:
        self._table = neutral_table(num_slots, vocab_size, device)
        self._noise = torch.zeros(num_slots, NOISE_LEN, device=device)
        self._rows: dict[int, _Row] = {}
        self._num_slots = num_slots
        self._free_slots = list(range(num_slots - 1, -1, -1))
        self._device = device

    def open(
        self,
        sequence: int,
        params: SamplingParams,
        seed: int,
        tokens: Sequence[int],
        num_prompt: int,
        ends: frozenset[int],
        matcher: TokenMatcher | None,
    ) -> None:
        """Take in a sequence of these tokens, of which the first `num_prompt` are its prompt; `ends` end it."""
        slot, table = self._free_slots.pop(), self._table
        self._rows[sequence] = _Row(slot, params, num_prompt, ends, matcher, -NOISE_LEN)
        table.seed[slot] = seed
        for name in (
            "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
        ):  # fmt: skip
            getattr(table, name)[slot] = getattr(params, name)
        if params.is_filtered:
            produced = torch.tensor(tokens[num_prompt:], dtype=torch.long, device=self._device)
            table.output_counts[slot] = torch.bincount(produced, minlength=table.vocab_size)
            seen = torch.zeros(1, table.vocab_size, dtype=torch.bool, device=self._device)
            seen[0, list(tokens[:num_prompt])] = True
            table.prompt_tokens[slot] = pack_bitmask(seen)[0]

    def close(self, sequence: int) -> None:
        """Let go of a sequence, if it was taken in."""
        row = self._rows.pop(sequence, None)
        if row is not None:
            self._free_slots.append(row.slot)

    def reset(self) -> None:
        """Let go of all sequences."""
        self._rows.clear()
        self._free_slots = list(range(self._num_slots - 1, -1, -1))

    def draw(self, logits: torch.Tensor, sequences: Sequence[int], positions: Sequence[int]) -> list[Drawn]:
        """Return a token for each row; positions are those the tokens will have. Changes the logits."""
        rows = [self._rows[sequence] for sequence in sequences]
        finite = _are_finite(logits)
        told = [number for number, row in enumerate(rows) if row.params.logprobs is not None]
        # Of the model: before bans and penalties.
        raw = logits[told].clone() if told else None
        failed = self._edit(logits, rows, positions)
        tokens = self._choose(logits, rows, positions)
        # Behind the tokens, so that a GPU is waited for once.
        is_finite = finite.tolist()
        drawn = []
        for number, (row, token, position) in enumerate(zip(rows, tokens, positions, strict=True)):
            forced = row.params.forced_ids
            if position - row.num_prompt < len(forced):
                drawn_token, token = token, forced[position - row.num_prompt]
                self._recount(row, drawn_token, token)
            if not is_finite[number]:
                drawn.append(Drawn(-1, error="logits, got some that are not finite, expected numbers to choose by"))
            elif number in failed:
                drawn.append(Drawn(-1, error=failed[number]))
            elif token < 0:
                drawn.append(Drawn(-1, error="token, got none that may follow, expected at least one"))
            else:
                drawn.append(_accepted(row, token))
        if raw is not None:
            counts = [rows[number].params.logprobs or 0 for number in told]
            for number, found in zip(told, top_logprobs(raw, [drawn[k].token_id for k in told], counts), strict=True):
                drawn[number] = replace(drawn[number], logprobs=found)
        return drawn

    def _recount(self, row: _Row, drawn: int, taken: int) -> None:
        """Let penalties count the token that was taken, not the one that was drawn and counted."""
        if row.params.is_filtered:
            counts = self._table.output_counts[row.slot]
            if drawn >= 0:
                counts[drawn] -= 1
            counts[taken] += 1

    def _edit(self, logits: torch.Tensor, rows: Sequence[_Row], positions: Sequence[int]) -> dict[int, str]:
        """Apply what a request says of single tokens; return what went wrong, by the number of the row."""
        banned: dict[frozenset[int], list[int]] = {}
        matched = []
        for number, (row, position) in enumerate(zip(rows, positions, strict=True)):
            params = row.params
            if params.logit_bias:
                ids = torch.tensor(list(params.logit_bias), device=self._device)
                logits[number, ids] += torch.tensor(list(params.logit_bias.values()), device=self._device)
            bans = params.banned_ids
            if position - row.num_prompt < params.min_tokens:
                bans = bans | row.ends
            if bans:
                banned.setdefault(bans, []).append(number)
            if row.matcher is not None:
                matched.append(number)
        for bans, numbers in banned.items():
            ids = torch.tensor(sorted(bans), device=self._device)
            if len(numbers) == len(rows):
                logits.index_fill_(1, ids, -torch.inf)
            else:
                logits[torch.tensor(numbers, device=self._device)[:, None], ids] = -torch.inf
        return self._mask(logits, rows, matched) if matched else {}

    def _mask(self, logits: torch.Tensor, rows: Sequence[_Row], matched: Sequence[int]) -> dict[int, str]:
        """Forbid what the grammars of some rows do not allow; return the errors of those that failed."""
        failed = {}
        bitmask = torch.full((len(matched), -(-logits.shape[1] // WORD_BITS)), -1, dtype=torch.int32)
        mask_ids = torch.full((len(rows),), -1, dtype=torch.int32)
        for index, number in enumerate(matched):
            matcher = rows[number].matcher
            assert matcher is not None
            try:
                matcher.fill_next_token_bitmask(bitmask, index)
            except Exception as error:
                failed[number] = _grammar_error(error)
            else:
                mask_ids[number] = index
        apply_token_bitmask(logits, bitmask.to(self._device), mask_ids.to(self._device))
        return failed

    def _choose(self, logits: torch.Tensor, rows: Sequence[_Row], positions: Sequence[int]) -> list[int]:
        kinds: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            params = row.params
            kind = "plain" if params.temperature else "greedy"
            if params.is_filtered or self._device.type == "cuda":
                kind = "filtered"
            kinds.setdefault(kind, []).append(number)
        choose = {"plain": self._plain, "greedy": self._greedy, "filtered": self._filtered}
        tokens = [-1] * len(rows)
        for kind, numbers in kinds.items():
            some = logits if len(numbers) == len(rows) else logits[numbers]
            chosen = choose[kind](some, [rows[k] for k in numbers], [positions[k] for k in numbers])
            for number, token in zip(numbers, chosen.tolist(), strict=True):
                tokens[number] = token
        return tokens

    def _greedy(self, logits: torch.Tensor, rows: Sequence[_Row], positions: Sequence[int]) -> torch.Tensor:
        best = logits.max(-1)
        return torch.where(best.values > -torch.inf, best.indices, -1)

    def _plain(self, logits: torch.Tensor, rows: Sequence[_Row], positions: Sequence[int]) -> torch.Tensor:
        slots = torch.tensor([row.slot for row in rows], device=self._device)
        largest = logits.amax(-1, keepdim=True)
        # The largest becomes 0 first: the coldest temperature then leaves numbers.
        temperatures = self._table.temperature[slots, None].clamp(min=COLDEST)
        weights = torch.softmax((logits - largest) / temperatures, -1)
        sums = weights.cumsum(-1)
        whole = sums[:, -1:].contiguous()
        goals = self._uniform(rows, slots, positions)[:, None] * whole
        # Where rounding lifts the goal to the whole sum, the last token that weighs something is meant.
        tokens = torch.searchsorted(sums, goals, right=True).minimum(torch.searchsorted(sums, whole))[:, 0]
        return torch.where(largest[:, 0] > -torch.inf, tokens, -1)

    def _filtered(self, logits: torch.Tensor, rows: Sequence[_Row], positions: Sequence[int]) -> torch.Tensor:
        slots = torch.tensor([row.slot for row in rows], dtype=torch.int32, device=self._device)
        return sample(logits, slots, torch.tensor(positions, device=self._device), self._table)

    def _uniform(self, rows: Sequence[_Row], slots: torch.Tensor, positions: Sequence[int]) -> torch.Tensor:
        """Return each row's number from 0 up to 1 for a position; they are made some positions ahead."""
        used_up = [
            (row, position)
            for row, position in zip(rows, positions, strict=True)
            if not 0 <= position - row.noise_start < NOISE_LEN
        ]
        if used_up:
            self._make_noise(used_up)
        ahead = [position - row.noise_start for row, position in zip(rows, positions, strict=True)]
        return self._noise[slots, torch.tensor(ahead, device=self._device)]

    def _make_noise(self, rows: Iterable[tuple[_Row, int]]) -> None:
        some = list(rows)
        for row, position in some:
            row.noise_start = position
        slots = torch.tensor([row.slot for row, _ in some], device=self._device)
        starts = torch.tensor([position for _, position in some], device=self._device)
        counters = starts[:, None] + torch.arange(NOISE_LEN, device=self._device)
        high, _ = philox(self._table.seed[slots, None], counters)
        # 24 bits: all that a number below 1 keeps in fp32.
        self._noise[slots] = (high >> 8).float() * 2.0**-24


def _accepted(row: _Row, token: int) -> Drawn:
    """Return a token of which the row's grammar, if it has one, has taken note."""
    if row.matcher is None:
        return Drawn(token)
    try:
        if not row.matcher.accept_token(token):
            return Drawn(-1, error=f"token {token}, forced, expected one that the grammar allows")
        return Drawn(token, is_last=row.matcher.is_terminated())
    except Exception as error:
        return Drawn(-1, error=_grammar_error(error))


def _grammar_error(error: Exception) -> str:
    return f"grammar, failed: {type(error).__name__}: {error}"


def _are_finite(logits: torch.Tensor) -> torch.Tensor:
    """Return bool [num_rows], whether all of a row is finite: in fp64 its sum is then, and only then."""
    return logits.sum(-1, dtype=torch.float64).isfinite()


def top_logprobs(logits: torch.Tensor, tokens: Sequence[int], counts: Sequence[int]) -> list[TokenLogprobs]:
    """Return the log-probability of a token in each row, with so many of the likeliest."""
    found = logprobs(logits, torch.tensor(tokens, device=logits.device), max(counts))
    chosen, top, top_ids = found.chosen.tolist(), found.top.tolist(), found.top_ids.tolist()
    return [
        TokenLogprobs(token, chosen[row], tuple(zip(top_ids[row][:count], top[row][:count], strict=True)))
        for row, (token, count) in enumerate(zip(tokens, counts, strict=True))
    ]
