"""Keys of JSON objects: each stands once. Who reads the first and who reads the last would see two contents."""

import json
from typing import Any

from .api_error import refused

MOST_SHOWN = 64
"""Characters of a key that are said; a client chose them."""


def check_keys(raw: bytes) -> None:
    """Raise ApiError for an object that holds a key twice, anywhere in JSON that can be read."""
    # Numbers are not looked at: some have more digits than Python turns into one.
    json.loads(raw, object_pairs_hook=_unique, parse_int=len, parse_float=len)


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) == len(pairs):
        return
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            # Half of a surrogate pair cannot be written as it is.
            shown = ascii(key[:MOST_SHOWN])[1:-1]
            raise refused(f"{shown} stands twice in one object, expected it once", shown, "duplicate_key")
        seen.add(key)
