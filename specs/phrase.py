"""Phrases as lists of tokens: how the words of a vocabulary and those of a response are compared."""

import re

ARTICLES = frozenset({"the", "a", "an"})
# What the grammar of steps reads before it looks for a phrase; a phrase that begins so could never be found.
RESERVED = (
    ("no",),
    ("not",),
    ("if",),
    ("observe",),
    ("state", "of"),
    ("wait", "until"),
    ("go", "to", "step"),
    ("stay",),
)
_TOKEN = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")


def tokenize(text: str) -> list[str]:
    """Return the words and marks of a text: lower case, hyphens and underscores split, articles left out."""
    # A minus sign before a number stays, so that "step -1" is not step 1.
    plain = re.sub(r"_|-(?!\s*[0-9])|(?<=\w)-", " ", text.lower()).replace("'", "")
    return [token for token in _TOKEN.findall(plain) if token not in ARTICLES]
