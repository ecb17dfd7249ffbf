"""What a step computed."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from ..memory.upload import on_device
from ..schedule.plan import Work


class States(NamedTuple):
    """The states behind which tokens are drawn, whose they are, and those of scored prompts; [.., hidden_size] each."""

    drawn: torch.Tensor
    sequences: list[int]
    scored: dict[int, torch.Tensor]

    def behind(self, sequence: int) -> torch.Tensor:
        """Return a copy of the state behind which a sequence's next token is drawn."""
        return self.drawn[self.sequences.index(sequence)].clone()


class InFlight(NamedTuple):
    """Tokens of the step before that the host does not know yet: int64 [num_rows] on the device, and whose they are."""

    tokens: torch.Tensor
    sequences: list[int]


def states_of(
    decoding: Sequence[Work],
    chunks: Sequence[Work],
    states: torch.Tensor,
    known: dict[int, torch.Tensor],
    chunks_at: int | None = None,
) -> States:
    """Return what is wanted of the states of a step's tokens, and of those that were known, sequence by sequence.

    Rows that decode stand first, and the tokens of chunks behind them, or from row `chunks_at` on.
    """
    lasts, sequences, scored = [*range(len(decoding))], [one.sequence for one in decoding], {}
    row = len(decoding) if chunks_at is None else chunks_at
    for one in chunks:
        row += len(one.token_ids)
        if one.samples:
            lasts.append(row - 1)
            sequences.append(one.sequence)
        if one.scores:
            scored[one.sequence] = states[row - len(one.token_ids) : row]
    # In a step that decodes every row is one.
    drawn = states[: len(lasts)]
    if lasts and lasts[-1] != len(lasts) - 1:
        drawn = states[on_device(torch.tensor(lasts), states.device)]
    if known:
        drawn = torch.cat([drawn, torch.stack([*known.values()])]) if sequences else torch.stack([*known.values()])
    return States(drawn, [*sequences, *known], scored)
