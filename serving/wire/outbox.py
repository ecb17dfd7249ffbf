"""What waits to be sent to one front. Nothing is lost while the front is slow, and the engine does not wait for it."""

from collections.abc import Iterable

import msgspec

from .messages import Out

Key = tuple[int, int]


class Outbox:
    """What is new for a front, one `Out` a candidate: more of the same is joined to it.

    So a slow front makes it no longer than the tokens of what runs for it; `max_tokens` bounds those.
    """

    def __init__(self, max_tokens: int) -> None:
        self.num_tokens = 0
        self._max_tokens = max_tokens
        self._outs: dict[Key, Out] = {}

    def __bool__(self) -> bool:
        return bool(self._outs)

    @property
    def is_full(self) -> bool:
        """Whether so much waits that something must be given up."""
        return self.num_tokens > self._max_tokens

    def put(self, out: Out) -> None:
        """Add what is new of a candidate."""
        key = out.id, out.candidate
        self._outs[key] = _joined(self._outs[key], out) if key in self._outs else out
        self.num_tokens += len(out.tokens)

    def oldest(self) -> int | None:
        """Return the oldest request whose tokens wait, None if none do."""
        return min((request for (request, _), out in self._outs.items() if out.tokens), default=None)

    def drop(self, request: int) -> None:
        """Forget what waits of a request."""
        for key in [key for key in self._outs if key[0] == request]:
            self.num_tokens -= len(self._outs.pop(key).tokens)

    def waiting(self) -> Iterable[Out]:
        """Return all that waits."""
        return self._outs.values()

    def clear(self) -> None:
        """Forget all that waits, since it is sent."""
        self._outs.clear()
        self.num_tokens = 0


def _joined(first: Out, second: Out) -> Out:
    return msgspec.structs.replace(
        second,
        tokens=(*first.tokens, *second.tokens),
        logprobs=(*first.logprobs, *second.logprobs),
    )
