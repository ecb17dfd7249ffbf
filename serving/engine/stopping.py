"""When a sequence ends."""

from collections.abc import Callable

from ..requests.request import Finish
from ..requests.sequence import Sequence

Detokenize = Callable[[list[int]], str]


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
        """Return why a sequence's newest token has ended it, None if it goes on."""
        params = sequence.request.params
        is_early = sequence.num_produced < params.min_tokens
        if not is_early and sequence.tokens[-1] in self.ends_of(sequence):
            return Finish.STOP
        if not is_early and params.stop and self._is_stopped_by_text(sequence):
            return Finish.STOP
        return Finish.LENGTH if len(sequence.tokens) >= sequence.limit else None

    def _is_stopped_by_text(self, sequence: Sequence) -> bool:
        assert self._detokenize is not None, "requests with stop strings are refused without a tokenizer"
        produced = sequence.tokens[sequence.num_prompt :]
        text = self._detokenize(produced)
        params = sequence.request.params
        # A string that was whole among the tokens that must come ends nothing, then or later.
        early = len(self._detokenize(produced[: params.min_tokens - 1])) if params.min_tokens > 1 else 0
        places = [text.find(stop, max(0, early + 1 - len(stop))) for stop in params.stop]
        found = [place for place in places if place >= 0]
        if found:
            sequence.stopped_text = text[: min(found)]
        return bool(found)
