"""The bytes that a token stands for, as tokenizers spell them."""

import re
from functools import cache

_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")


def token_bytes(piece: str, text: str, *, is_byte_level: bool) -> bytes:
    """Return the bytes of a token: `piece` is how the vocabulary spells it, `text` what it becomes alone."""
    if found := _FALLBACK.fullmatch(piece):
        return bytes([int(found[1], 16)])
    if is_byte_level and all(character in _bytes_of() for character in piece):
        return bytes(_bytes_of()[character] for character in piece)
    return text.encode()


@cache
def _bytes_of() -> dict[str, int]:
    """Return the byte that each character of a byte-level vocabulary stands for (GPT-2's table).

    Bytes that print stand for themselves; the others are, in order, the characters from 256 on.
    """
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    return {chr(byte): byte for byte in printed} | {chr(256 + place): byte for place, byte in enumerate(others)}
