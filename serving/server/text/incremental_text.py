"""Text of tokens that come one by one: no half of a character, and nothing of a stop string, is ever said."""

from collections.abc import Callable, Container, Iterable, Sequence

Decode = Callable[[Sequence[int]], str]

_BROKEN = "\N{REPLACEMENT CHARACTER}"
# A character has up to four bytes, and a token at least one: what is broken for longer stays so.
_MOST_BROKEN = 8
# So many tokens are looked at while all is broken.
_KEPT = 2 * _MOST_BROKEN


class IncrementalText:
    """The text of one answer as it grows. What `push` and `finish` return, joined, is the whole answer.

    A stream and an answer in one piece are both made here, so they have the same characters. `silent` are tokens
    without text.
    """

    def __init__(self, decode: Decode, stops: Iterable[str] = (), silent: Container[int] = ()) -> None:
        self._decode = decode
        self._silent = silent
        self._stops = tuple(stops)
        # Tokens from one on whose text is known, so that a decoder sees what stood before the newest.
        self._window: list[int] = []
        self._num_old = 0
        self._num_seen = 0
        self._held = ""
        self._num_said = 0

    @property
    def num_chars(self) -> int:
        """How many characters there are, those that are held back too."""
        return self._num_said + len(self._held)

    def push(self, tokens: Iterable[int]) -> str:
        """Return what may be said after some tokens more."""
        self.hold(tokens)
        return self._say(len(self._held) - self._num_risky())

    def hold(self, tokens: Iterable[int]) -> None:
        """Take the last tokens: with them a stop string may be whole, so nothing is said before `finish`."""
        for token in tokens:
            self._held += self._take(token)

    def finish(self, stopped: str | None = None) -> str:
        """Return the rest. `stopped` is all the text there shall be, where a stop string has ended it."""
        if stopped is not None:
            return stopped[self._num_said :]
        self._held += self._decode(self._window)[self._num_seen :]
        return self._say(len(self._held))

    def _take(self, token: int) -> str:
        """Return the text that a token adds, once no character of it is in pieces."""
        if token in self._silent:
            return ""
        self._window.append(token)
        text = self._decode(self._window)
        is_broken = text.endswith(_BROKEN)
        if is_broken and len(self._window) - self._num_old < _MOST_BROKEN:
            return ""
        # The last of what is broken may be the first half of a character, still.
        end = len(text) - is_broken
        new, self._num_seen = text[self._num_seen : end], end
        self._cut_window(is_broken)
        return new

    def _cut_window(self, is_broken: bool) -> None:
        first = max(0, len(self._window) - _KEPT) if is_broken else self._num_old
        kept = self._window[first:]
        # A decoder does not write the space before a first word: the window begins with something that is written.
        if num_seen := len(self._decode(kept)) - is_broken:
            self._window, self._num_seen, self._num_old = kept, num_seen, max(0, self._num_old - first)
        if not is_broken:
            self._num_old = len(self._window)

    def _say(self, num_chars: int) -> str:
        said, self._held = self._held[:num_chars], self._held[num_chars:]
        self._num_said += num_chars
        return said

    def _num_risky(self) -> int:
        """Return how many of the last characters may be the beginning of a stop string."""
        longest = max(map(len, self._stops), default=0)
        for length in range(min(longest - 1, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0
