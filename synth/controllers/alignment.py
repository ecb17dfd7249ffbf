"""Alignment of a response's words to the vocabulary: exact phrases, then synonyms, else nothing (never a guess)."""

from collections.abc import Iterable, Sequence

from ...specs.phrase import tokenize
from ...specs.vocabulary import Vocabulary, Word


class Alignment:
    """Finds the longest phrase of the vocabulary at a place in a list of tokens."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._propositions = _phrases(vocabulary.propositions)
        self._actions = _phrases(vocabulary.actions)

    def proposition(self, tokens: Sequence[str], at: int) -> tuple[str, int] | None:
        """Return the proposition whose phrase starts at `at`, and the position behind it."""
        return _longest(self._propositions, tokens, at)

    def action(self, tokens: Sequence[str], at: int) -> tuple[str, int] | None:
        """Return the action whose phrase starts at `at`, and the position behind it."""
        return _longest(self._actions, tokens, at)


def _phrases(words: Iterable[Word]) -> dict[tuple[str, ...], str]:
    return {tuple(tokenize(phrase)): word.id for word in words for phrase in (word.english, word.id, *word.synonyms)}


def _longest(phrases: dict[tuple[str, ...], str], tokens: Sequence[str], at: int) -> tuple[str, int] | None:
    for end in range(min(len(tokens), at + max(map(len, phrases))), at, -1):
        name = phrases.get(tuple(tokens[at:end]))
        if name is not None:
            return name, end
    return None
