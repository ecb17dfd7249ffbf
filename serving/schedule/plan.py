"""A step's plan: what the runner does next, as a value of numbers and digests that could be sent to other processes.

The runner carries it out in the order of the fields.
"""

from dataclasses import dataclass

from ..memory.adapter_store import AdapterLoad

DRAWN = -1
"""A token that the step before drew, and that only the device knows yet."""
Blocks = tuple[tuple[int, ...], ...]
"""The pages of each block of a sequence, one a group of layers."""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """Tokens `start` .. `end` of a sequence under their key in the prefix cache, and their pages there."""

    key: bytes
    start: int
    end: int
    pages: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """A sequence that begins to run with room for `num_tokens`; `known` is what it takes over from the prefix cache.

    With `has_state` its whole prompt is known, and its next token is drawn from the state under the last key.
    """

    sequence: int
    num_tokens: int
    blocks: Blocks
    known: tuple[StoredPart, ...]
    has_state: bool


@dataclass(frozen=True, slots=True)
class Swap:
    """A sequence whose first `num_tokens` tokens go to host memory, or come back, and the blocks that hold them."""

    sequence: int
    num_tokens: int
    blocks: Blocks


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens that a sequence feeds, from position `start` on; DRAWN alone is the one that was just drawn.

    blocks    the pages of all its blocks, those for these tokens included
    adapter   the slot of its adapter, -1 for the base model
    decodes   whether it has read its prompt; then it feeds one token
    samples   whether a token is drawn behind the last
    scores    whether the log-probabilities of its tokens are wanted
    """

    sequence: int
    start: int
    token_ids: tuple[int, ...]
    blocks: Blocks
    adapter: int
    decodes: bool
    samples: bool
    scores: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """What of a sequence goes to the prefix cache once its prompt is read; with `has_end` the last part is its end."""

    sequence: int
    parts: tuple[StoredPart, ...]
    has_end: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """One step; they are numbered from 1."""

    number: int = 0
    closed: tuple[int, ...] = ()
    swapped_out: tuple[Swap, ...] = ()
    dropped_swaps: tuple[int, ...] = ()
    unloaded: tuple[str, ...] = ()
    dropped: tuple[bytes, ...] = ()
    loaded: tuple[AdapterLoad, ...] = ()
    swapped_in: tuple[Swap, ...] = ()
    opened: tuple[Opened, ...] = ()
    work: tuple[Work, ...] = ()
    stored: tuple[Stored, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is computed and no token drawn."""
        return not self.work and not any(opened.has_state for opened in self.opened)
