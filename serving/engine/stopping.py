"""When a sequence ends."""

from collections.abc import Callable
from collections.abc import Sequence as Many
from itertools import chain

from ..requests.request import Finish
from ..requests.sequence import Sequence

Detokenize = Callable[[list[int]], str]
"""Turns tokens into text. What a token becomes may depend on the few beside it, and on whether it is the first."""

# So many of the newest tokens may take part in a character that the newest one ends.
RECENT = 8
# So many characters may be others where a text begins within a character, or without the space before its first word.
SPOILT = 8
# So many tokens beside those of the longest stop string are looked at first.
MORE_TOKENS = 32


class TextError(Exception):
    """The text of a sequence could not be made; says why."""


class Stopping:
    """Ends sequences: at the model's own ends, at those a request names, at strings, and when there is no more room."""

    def __init__(self, end_ids: frozenset[int], detokenize: Detokenize | None) -> None:
        self._end_ids = end_ids
        self._detokenize = detokenize

    def ends_of(self, sequence: Sequence) -> frozenset[int]:
        """Return the tokens that end a sequence."""
        params = sequence.request.params
        return params.stop_token_ids if params.ignore_eos else params.stop_token_ids | self._end_ids

    def finish_of(self, sequence: Sequence) -> Finish | None:
        """Return why a sequence's newest token has ended it, None if it goes on.

        Raises TextError where the detokenizer fails.
        """
        params = sequence.request.params
        is_early = sequence.num_produced < params.min_tokens
        if not is_early and sequence.tokens[-1] in self.ends_of(sequence):
            return Finish.STOP
        if not is_early and params.stop and self._is_stopped_by_text(sequence):
            return Finish.STOP
        return Finish.LENGTH if len(sequence.tokens) >= sequence.limit else None

    def _is_stopped_by_text(self, sequence: Sequence) -> bool:
        assert self._detokenize is not None, "requests with stop strings are refused without a tokenizer"
        produced, params = sequence.tokens[sequence.num_prompt :], sequence.request.params
        try:
            if not _may_end(self._detokenize, produced, params.stop):
                return False
            text = self._detokenize(produced)
            # A string that was whole among the tokens that must come ends nothing, then or later.
            early = len(self._detokenize(produced[: params.min_tokens - 1])) if params.min_tokens > 1 else 0
            places = [text.find(stop, max(0, early + 1 - len(stop))) for stop in params.stop]
        except Exception as error:
            raise TextError(f"detokenizer, failed: {type(error).__name__}: {error}") from error
        found = [place for place in places if place >= 0]
        if found:
            sequence.stopped_text = text[: min(found)]
        return bool(found)


def _may_end(detokenize: Detokenize, produced: list[int], stops: Many[str]) -> bool:
    """Return False if the newest token has surely ended no stop string, from as few tokens as that takes.

    A string that it ends lies in the text of the newest tokens and as many characters before as the string has. So
    the tokens that are looked at reach so far back, and some characters more.
    """
    longest = max(map(len, stops))
    recent = len(detokenize(produced[-RECENT:]))
    num_tokens = longest + MORE_TOKENS
    while num_tokens < len(produced):
        text = _tail(detokenize, produced, num_tokens)
        if any(stop in text for stop in stops):
            return True
        if len(text) - recent >= longest + SPOILT:
            return False
        num_tokens *= 2
    return True


def _tail(detokenize: Detokenize, produced: list[int], num_tokens: int) -> str:
    """Return the text of at least so many of the newest tokens, which begins with a character if it can.

    Some tokenizers spell a character with up to four tokens, and where one of them is missing, they spell none of
    those beside it either.
    """
    texts = (detokenize(produced[max(0, len(produced) - num_tokens - more) :]) for more in range(4))
    first = next(texts)
    return next((text for text in chain((first,), texts) if "\N{REPLACEMENT CHARACTER}" not in text), first)
