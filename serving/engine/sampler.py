"""Draws the tokens of a step, a row a sequence, each as its request asks and whatever other rows there are."""

from collections.abc import Iterable, Sequence

import torch

from ...kernels.tokens.draw_arithmetic import philox
from ...kernels.tokens.logprobs import Logprobs, logprobs
from ...kernels.tokens.sampling import sample
from ...kernels.tokens.sampling_table import neutral_table
from ...kernels.tokens.token_bitmask import WORD_BITS, apply_token_bitmask, pack_bitmask
from ..memory.upload import on_device, on_host, recorded
from ..requests.request import TokenMatcher
from ..requests.sampling_params import SamplingParams
from .draw import Draw, Row, grammar_error

# What a row of the table has of real numbers.
REALS = ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")
# How many draws of a sequence are made at a time.
NOISE_LEN = 64
# Below it only the likeliest token has a chance.
COLDEST = 1e-30


class Sampler:
    """What each running sequence asks of its draws.

    A draw is fixed by the sequence's seed and the position of its token (Philox). On a CPU plain rows, which leave
    nothing out, take the inverse of the summed probabilities; all others take the kernel `sample`.
    """

    def __init__(self, num_slots: int, vocab_size: int, device: torch.device) -> None:
        self._table = neutral_table(num_slots, vocab_size, device)
        self._noise = torch.zeros(num_slots, NOISE_LEN, device=device)
        self._rows: dict[int, Row] = {}
        # Rows by their slots that the table does not have yet.
        self._opened: dict[int, Row] = {}
        self._num_slots = num_slots
        self._free_slots = list(range(num_slots - 1, -1, -1))
        self._device = device

    def warm_up(self) -> None:
        """Compile what draws run."""
        logits = torch.zeros(1, self._table.vocab_size, device=self._device)
        nothing = torch.full((1,), -1, dtype=torch.int32, device=self._device)
        sample(logits, nothing, nothing.long(), self._table)
        logprobs(logits, nothing.long(), 1)
        bitmask = torch.full((1, -(-self._table.vocab_size // WORD_BITS)), -1, dtype=torch.int32, device=self._device)
        apply_token_bitmask(logits, bitmask, nothing)

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
        self._rows[sequence] = row = Row(slot, params, seed, num_prompt, ends, matcher, -NOISE_LEN)
        self._opened[slot] = row
        if params.is_filtered:
            produced = on_device(torch.tensor(tokens[num_prompt:], dtype=torch.long), self._device)
            table.output_counts[slot] = torch.bincount(produced, minlength=table.vocab_size)
            seen = torch.zeros(1, table.vocab_size, dtype=torch.bool)
            seen[0, list(tokens[:num_prompt])] = True
            table.prompt_tokens[slot] = on_device(pack_bitmask(seen)[0], self._device)

    def close(self, sequence: int) -> None:
        """Let go of a sequence, if it was taken in."""
        row = self._rows.pop(sequence, None)
        if row is not None:
            self._free_slots.append(row.slot)

    def reset(self) -> None:
        """Let go of all sequences."""
        self._rows.clear()
        self._opened.clear()
        self._free_slots = list(range(self._num_slots - 1, -1, -1))

    def launch(self, logits: torch.Tensor, sequences: Sequence[int], positions: Sequence[int]) -> Draw:
        """Begin to draw a token for each row, at the positions that they will have, and do not wait for them.

        A position of -1 is a row that nobody wants a token of. Changes the logits.
        """
        self._write_opened()
        rows = [self._rows[sequence] for sequence in sequences]
        finite = _are_finite(logits)
        told = [number for number, row in enumerate(rows) if row.params.logprobs is not None and positions[number] >= 0]
        # Of the model: before bans and penalties.
        raw = logits[told].clone() if told else None
        failed = self._edit(logits, rows, positions)
        tokens = self._forced(self._choose(logits, rows, positions), rows, positions)
        found = None
        if raw is not None:
            most = max(rows[number].params.logprobs or 0 for number in told)
            known = tokens if len(told) == len(rows) else tokens[on_device(torch.tensor(told), self._device)]
            found = Logprobs(*map(on_host, logprobs(raw, known, most)))
        return Draw(
            sequences=[*sequences],
            tokens=tokens,
            rows=rows,
            positions=[*positions],
            result=on_host(torch.stack([tokens, finite.long()])),
            failed=failed,
            told=told,
            logprobs=found,
            is_ready=recorded(torch.cuda.current_stream(self._device)) if logits.is_cuda else None,
        )

    def _write_opened(self) -> None:
        """Write what new rows ask for into the table, all at once: single numbers would each wait for a GPU."""
        if not self._opened:
            return
        rows = [*self._opened.values()]
        self._opened.clear()
        slots = on_device(torch.tensor([row.slot for row in rows]), self._device)
        asked = torch.tensor([[getattr(row.params, name) for row in rows] for name in REALS])
        for name, values in zip(REALS, on_device(asked, self._device), strict=True):
            getattr(self._table, name)[slots] = values
        seeds, top_ks = on_device(torch.tensor([[row.seed, row.params.top_k] for row in rows]).T, self._device)
        self._table.seed[slots] = seeds
        self._table.top_k[slots] = top_ks.int()

    def _forced(self, tokens: torch.Tensor, rows: Sequence[Row], positions: Sequence[int]) -> torch.Tensor:
        """Return what is taken: the token that was drawn, or the one that a request says comes here."""
        forced = [_forced_id(row, position) for row, position in zip(rows, positions, strict=True)]
        if max(forced, default=-1) < 0:
            return tokens
        slots = on_device(
            torch.tensor([row.slot for row, token in zip(rows, forced, strict=True) if token >= 0]), self._device
        )
        taken = on_device(torch.tensor(forced), self._device)
        is_forced = taken >= 0
        # Penalties count the token that is taken, not the one that was drawn and counted.
        counts, drawn = self._table.output_counts, tokens[is_forced]
        counts.index_put_((slots, drawn.clamp(min=0)), -(drawn >= 0).int(), accumulate=True)
        counts.index_put_((slots, taken[is_forced]), torch.ones_like(slots, dtype=torch.int32), accumulate=True)
        return torch.where(is_forced, taken, tokens)

    def _edit(self, logits: torch.Tensor, rows: Sequence[Row], positions: Sequence[int]) -> dict[int, str]:
        """Apply what a request says of single tokens; return what went wrong, by the number of the row."""
        banned: dict[frozenset[int], list[int]] = {}
        matched = []
        for number, (row, position) in enumerate(zip(rows, positions, strict=True)):
            params = row.params
            if position < 0:
                continue
            if params.logit_bias:
                ids = on_device(torch.tensor(list(params.logit_bias)), self._device)
                logits[number, ids] += on_device(torch.tensor(list(params.logit_bias.values())), self._device)
            bans = params.banned_ids
            if position - row.num_prompt < params.min_tokens:
                bans = bans | row.ends
            if bans:
                banned.setdefault(bans, []).append(number)
            if row.matcher is not None:
                matched.append(number)
        for bans, numbers in banned.items():
            ids = on_device(torch.tensor(sorted(bans)), self._device)
            if len(numbers) == len(rows):
                logits.index_fill_(1, ids, -torch.inf)
            else:
                logits[on_device(torch.tensor(numbers), self._device)[:, None], ids] = -torch.inf
        return self._mask(logits, rows, matched) if matched else {}

    def _mask(self, logits: torch.Tensor, rows: Sequence[Row], matched: Sequence[int]) -> dict[int, str]:
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
                failed[number] = grammar_error(error)
            else:
                mask_ids[number] = index
        apply_token_bitmask(logits, on_device(bitmask, self._device), on_device(mask_ids, self._device))
        return failed

    def _choose(self, logits: torch.Tensor, rows: Sequence[Row], positions: Sequence[int]) -> torch.Tensor:
        kinds: dict[str, list[int]] = {}
        for number, (row, position) in enumerate(zip(rows, positions, strict=True)):
            params = row.params
            kind = "plain" if params.temperature else "greedy"
            if params.is_filtered or position < 0 or self._device.type == "cuda":
                kind = "filtered"
            kinds.setdefault(kind, []).append(number)
        choose = {"plain": self._plain, "greedy": self._greedy, "filtered": self._filtered}
        if len(kinds) == 1:
            return choose[next(iter(kinds))](logits, rows, positions)
        tokens = torch.full((len(rows),), -1, device=self._device)
        for kind, numbers in kinds.items():
            tokens[numbers] = choose[kind](logits[numbers], [rows[k] for k in numbers], [positions[k] for k in numbers])
        return tokens

    def _greedy(self, logits: torch.Tensor, rows: Sequence[Row], positions: Sequence[int]) -> torch.Tensor:
        best = logits.max(-1)
        return torch.where(best.values > -torch.inf, best.indices, -1)

    def _plain(self, logits: torch.Tensor, rows: Sequence[Row], positions: Sequence[int]) -> torch.Tensor:
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

    def _filtered(self, logits: torch.Tensor, rows: Sequence[Row], positions: Sequence[int]) -> torch.Tensor:
        slots = [row.slot if position >= 0 else -1 for row, position in zip(rows, positions, strict=True)]
        # Each a tensor of its own: kernels are compiled for tensors that begin at 16 bytes.
        known = on_device(torch.tensor(slots, dtype=torch.int32), self._device)
        return sample(logits, known, on_device(torch.tensor(positions), self._device), self._table)

    def _uniform(self, rows: Sequence[Row], slots: torch.Tensor, positions: Sequence[int]) -> torch.Tensor:
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

    def _make_noise(self, rows: Iterable[tuple[Row, int]]) -> None:
        some = list(rows)
        for row, position in some:
            row.noise_start = position
        slots = torch.tensor([row.slot for row, _ in some], device=self._device)
        starts = torch.tensor([position for _, position in some], device=self._device)
        counters = starts[:, None] + torch.arange(NOISE_LEN, device=self._device)
        high, _ = philox(self._table.seed[slots, None], counters)
        # 24 bits: all that a number below 1 keeps in fp32.
        self._noise[slots] = (high >> 8).float() * 2.0**-24


def _are_finite(logits: torch.Tensor) -> torch.Tensor:
    """Return bool [num_rows], whether all of a row is finite: in fp64 its sum is then, and only then."""
    return logits.sum(-1, dtype=torch.float64).isfinite()


def _forced_id(row: Row, position: int) -> int:
    """Return the token that a request says stands at a position, -1 if it says nothing."""
    forced, number = row.params.forced_ids, position - row.num_prompt
    return forced[number] if 0 <= number < len(forced) else -1
