"""Compiled grammars in the engine's process: those that one front has sent, the last used of them."""

import zlib
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from ..requests.request import TokenMatcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from xgrammar import CompiledGrammar

MOST_GRAMMARS = 64
"""How many are kept. A front forgets what it has sent by the same rule, so it knows what is here."""


class SentGrammars:
    """The keys that stand on the other side's shelf: put and used in the same order, they are the same on both."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, None] = OrderedDict()

    def use(self, key: str) -> bool:
        """Return whether a grammar is there, and take it for used."""
        if key in self._keys:
            self._keys.move_to_end(key)
            return True
        return False

    def put(self, key: str) -> str | None:
        """Take note of a grammar, and return the key of the one that must go for it, if one must."""
        self._keys[key] = None
        self._keys.move_to_end(key)
        return self._keys.popitem(last=False)[0] if len(self._keys) > MOST_GRAMMARS else None


class GrammarShelf:
    """Grammars by key. `tokens` is the serialised vocabulary that they were compiled for."""

    def __init__(self, tokens: str) -> None:
        self._tokens = tokens
        self._keys = SentGrammars()
        self._grammars: dict[str, CompiledGrammar] = {}

    def put(self, key: str, compiled: bytes) -> None:
        """Keep a grammar; raises ValueError for one that is none."""
        # Imported here: most engines never see a grammar.
        import xgrammar

        try:
            info = xgrammar.TokenizerInfo.deserialize_json(self._tokens)
            grammar = xgrammar.CompiledGrammar.deserialize_json(zlib.decompress(compiled).decode(), info)
        except (RuntimeError, zlib.error) as error:
            raise ValueError(f"grammar, cannot be read: {type(error).__name__}") from error
        self._grammars[key] = grammar
        if (old := self._keys.put(key)) is not None:
            del self._grammars[old]

    def matcher(self, key: str) -> "Callable[[], TokenMatcher]":
        """Return what makes the matcher of an answer; raises ValueError for a grammar that is not here."""
        import xgrammar

        if not self._keys.use(key):
            raise ValueError("grammar, is not there any more")
        return partial(xgrammar.GrammarMatcher, self._grammars[key])
