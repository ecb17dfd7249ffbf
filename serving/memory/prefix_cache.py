"""The prefix cache: what was computed of a prompt's beginning, found again by its content.

A prompt is cut into blocks of 32 tokens; the key of a block is a digest of its tokens, of the key before it and, for
the first, of the *namespace*: tenant (unless shared), base model, adapter digest and KV format. So two tenants, two
versions of an adapter or two formats never meet. The last key, of the *end*, stands for the whole prompt: the tokens
behind its last whole block, and the state from which its next token is drawn. A prompt that comes again, as candidates
of one task do, is not computed again at all.
"""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from ...kernels.cache.kv_pages import PAGE_SIZE
from .pool import Owner, Pool

Key = bytes


@dataclass(frozen=True, slots=True)
class Part:
    """Some tokens of a prompt, `start` .. `end`, by the key of all up to there. The last may be empty."""

    key: Key
    start: int
    end: int


def parts_of(namespace: tuple[str, ...], tokens: Sequence[int]) -> list[Part]:
    """Return the whole blocks of a prompt and its end, in order."""
    key = hashlib.sha256("\0".join(namespace).encode()).digest()
    bounds = [*range(0, len(tokens) - PAGE_SIZE + 1, PAGE_SIZE)]
    parts = []
    for start in bounds:
        key = _next(key, b"block", tokens[start : start + PAGE_SIZE])
        parts.append(Part(key, start, start + PAGE_SIZE))
    start = len(bounds) * PAGE_SIZE
    return [*parts, Part(_next(key, b"end", tokens[start:]), start, len(tokens))]


def _next(key: Key, kind: bytes, tokens: Sequence[int]) -> Key:
    return hashlib.sha256(key + kind + array("q", tokens).tobytes()).digest()


@dataclass(slots=True)
class _Entry:
    pages: list[int]
    num_users: int = 0


class PrefixCache:
    """Which parts are there, and their pages. A part that a sequence uses stays; others are idle memory."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._entries: dict[Key, _Entry] = {}
        # Parts whose contents are still to come.
        self._pending: set[Key] = set()
        # Keys that were given up since they were last asked for: whoever holds the contents lets go of them.
        self._dropped: list[Key] = []
        self.num_hits = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def known(self, parts: Sequence[Part]) -> list[Part]:
        """Return the longest beginning of a prompt that is there."""
        found = []
        for part in parts:
            if part.key not in self._entries or part.key in self._pending:
                break
            found.append(part)
        return found

    def use(self, parts: Sequence[Part]) -> None:
        """Keep parts until they are released."""
        for part in parts:
            entry = self._entries[part.key]
            if not entry.num_users:
                self._pool.revive(part.key)
            entry.num_users += 1
        self.num_hits += sum(part.end - part.start for part in parts)

    def release(self, parts: Sequence[Part]) -> None:
        """Let parts go that were used, the last first: a part is of use only with all before it."""
        for part in reversed(parts):
            self._let_go(part.key)

    def add(self, part: Part, num_pages: int) -> list[int] | None:
        """Return pages for a part that is new, and is found once it is published; None if there is no room for it."""
        pages = self._pool.allocate(num_pages, Owner.PREFIX)
        if pages is not None:
            self._entries[part.key] = _Entry(pages, num_users=1)
            self._pending.add(part.key)
        return pages

    def adopt(self, part: Part, pages: list[int]) -> None:
        """Take over a new part with the pages it lies in, which the sequence that made it goes on using."""
        self._pool.hand_over(pages, Owner.PREFIX)
        self._entries[part.key] = _Entry(pages, num_users=2)
        self._pending.add(part.key)

    def publish(self, keys: Sequence[Key]) -> None:
        """Let parts that were added be found: their contents are there."""
        for key in reversed(keys):
            self._pending.remove(key)
            self._let_go(key)

    def reset(self) -> None:
        """Forget all parts, whose pages the pool has taken back."""
        self._entries.clear()
        self._pending.clear()
        self._dropped.clear()

    def pages(self, key: Key) -> list[int]:
        """Return the pages of a part that is there."""
        return self._entries[key].pages

    def take_dropped(self) -> tuple[Key, ...]:
        """Return the keys that were given up since the last call."""
        dropped, self._dropped = tuple(self._dropped), []
        return dropped

    def _let_go(self, key: Key) -> None:
        entry = self._entries[key]
        entry.num_users -= 1
        if not entry.num_users:
            self._pool.retire(key, len(entry.pages), lambda last_use: self._give_up(key, last_use))

    def _give_up(self, key: Key, last_use: int) -> None:
        self._pool.free(self._entries.pop(key).pages, last_use)
        self._dropped.append(key)
