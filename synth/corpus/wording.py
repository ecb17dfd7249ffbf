"""Wordings of tasks, drawn from the grammar of a corpus."""

import re
from collections.abc import Iterable
from random import Random

from ...specs.corpus_description import PLAIN, SLOT, WITH, Combination, Corpus

_WORD = re.compile(r"[a-z0-9]+")
Template = tuple[tuple[str, str], ...]


class WordingGrammar:
    """Draws wordings. Those in `withheld` never come out, however they are written."""

    def __init__(self, corpus: Corpus, withheld: Iterable[str] = ()) -> None:
        self._withheld = frozenset(map(essence, withheld))
        self._words: dict[tuple[str, str, str | None], dict[str, tuple[Template, ...]]] = {}
        for _, combination in corpus.asked:
            for circumstance in (None, *combination.circumstances):
                words = corpus.words(combination, circumstance)
                key = (combination.world, combination.action, circumstance)
                self._words[key] = {symbol: tuple(map(_template, texts)) for symbol, texts in words.items()}

    def draw(self, rng: Random, combination: Combination, circumstance: str | None = None) -> str:
        """Return a wording that asks for a combination, with a circumstance or without."""
        words = self._words[combination.world, combination.action, circumstance]
        while True:
            text = _expand(WITH if circumstance else PLAIN, words, rng)
            if essence(text) not in self._withheld:
                return text[0].upper() + text[1:]


def essence(text: str) -> str:
    """Return a text without what spelling may change: its words in lower case."""
    return " ".join(_WORD.findall(text.lower()))


def _template(text: str) -> Template:
    """Return the pieces of an alternative: (text, symbol that follows it)."""
    pieces = SLOT.split(text)
    return tuple(zip(pieces[::2], [*pieces[1::2], ""], strict=True))


def _expand(symbol: str, words: dict[str, tuple[Template, ...]], rng: Random) -> str:
    template = rng.choice(words[symbol])
    return "".join(text + _expand(inner, words, rng) if inner else text for text, inner in template)
