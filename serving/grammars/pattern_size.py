"""How large the patterns of a JSON schema are: each token of an answer costs the engine time in proportion to it."""

import json
import re
from collections.abc import Iterator
from typing import Any

MOST_SIZE = 2_000
"""Of all patterns of a schema. Larger nested repetitions cost milliseconds a token and a row, which all others wait."""
_LARGEST = 10**9
_BOUNDS = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_CLASS = re.compile(r"\[(?:\\.|[^\]\\])*\]?", re.DOTALL)


def check_patterns(schema: str) -> None:
    """Raise ValueError for a JSON schema whose patterns are too large; what is no JSON has none."""
    try:
        found = json.loads(schema)
    except ValueError:
        return
    size = sum(map(pattern_size, _patterns(found)))
    if size > MOST_SIZE:
        raise ValueError(f"its patterns match {size} characters with repetitions written out, expected {MOST_SIZE}")


def pattern_size(pattern: str) -> int:
    """Return how many characters a pattern has with its counted repetitions written out, `(ab){3}` has 6.

    A repetition without an upper bound counts as one, or as many as there must be.
    """
    # Of each group that is open; what a repetition behind it would repeat.
    sizes, atom, at = [0], 0, 0
    while at < len(pattern):
        sign, width = pattern[at], 1
        if sign == "(":
            sizes.append(0)
            atom = 0
        elif sign == ")" and len(sizes) > 1:
            atom = sizes.pop()
            sizes[-1] += atom
        elif sign == "{" and (bounds := _BOUNDS.match(pattern, at)):
            width = bounds.end() - at
            more = atom * (_times(bounds) - 1)
            atom, sizes[-1] = min(atom + more, _LARGEST), min(sizes[-1] + more, _LARGEST)
        elif sign not in "*+?|^$":
            width = _width(pattern, at)
            atom = 1
            sizes[-1] += 1
        at += width
    return sum(sizes)


def _width(pattern: str, at: int) -> int:
    """Return how long the character or the class of characters is that begins somewhere."""
    if pattern[at] == "\\":
        return 2
    found = _CLASS.match(pattern, at)
    return len(found[0]) if found else 1


def _times(bounds: re.Match[str]) -> int:
    # What has more digits is large, and need not be read.
    counts = [int(digits) if len(digits) < 10 else _LARGEST for digits in bounds.groups() if digits]
    return max(1, *counts)


def _patterns(schema: Any) -> Iterator[str]:
    """Yield all patterns of a schema, wherever they stand."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
            if isinstance(pattern := part.get("pattern"), str):
                yield pattern
            if isinstance(named := part.get("patternProperties"), dict):
                yield from named
