"""What a step computed."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from ..schedule.plan import Work


class States(NamedTuple):
    """The states behind which tokens are drawn, whose they are, and those of scored prompts; [.., hidden_size] each."""

    drawn: torch.Tensor
    sequences: list[int]
    scored: dict[int, torch.Tensor]


def states_of(ordered: Sequence[Work], states: torch.Tensor, known: dict[int, torch.Tensor]) -> States:
    """Return what is wanted of the states of a step's tokens, and of those that were known, sequence by sequence."""
    drawn, scored, row = dict(known), {}, 0
    for one in ordered:
        row += len(one.token_ids)
        if one.samples:
            drawn[one.sequence] = states[row - 1]
        if one.scores:
            scored[one.sequence] = states[row - len(one.token_ids) : row]
    return States(torch.stack([*drawn.values()]) if drawn else torch.empty(0), [*drawn], scored)
