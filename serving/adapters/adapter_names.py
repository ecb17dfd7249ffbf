"""Names of adapters: what a request may call one."""

import re

MAX_LEN = 128
# Parts between slashes, none of which is empty or begins with a dot: as the hub names models, and never a way upwards.
_PART = r"[A-Za-z0-9][A-Za-z0-9._:-]*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")


def check_name(name: str, base_name: str) -> None:
    """Raise ValueError unless a name may be an adapter's."""
    if len(name) > MAX_LEN or not _NAME.fullmatch(name):
        got = ascii(name if len(name) <= MAX_LEN else name[:MAX_LEN] + "…")
        expected = f"at most {MAX_LEN} letters, digits and ._:-/, a letter or digit first and behind each slash"
        raise ValueError(f"got {got}, expected {expected}")
    if name == base_name:
        raise ValueError(f"got {name!r}, which is the base model's, expected another name")
