"""Prompts of a given length that have nothing in common, as token ids or as words."""

import numpy as np

from ..choices import PromptKind
from .lengths import LengthRange

# Each is one token to the tokenizers of most models, with the space before it.
WORDS = (
    "time",
    "year",
    "people",
    "way",
    "day",
    "man",
    "thing",
    "woman",
    "life",
    "child",
    "world",
    "school",
    "state",
    "family",
    "student",
    "group",
    "country",
    "problem",
    "hand",
    "part",
    "place",
    "case",
    "week",
    "company",
)


Prompt = str | tuple[int, ...]


def draw_prompt(kind: PromptKind, num_tokens: int, token_ids: LengthRange, generator: np.random.Generator) -> Prompt:
    """Return a prompt of so many token ids of a range, or of so many words."""
    if kind is PromptKind.TOKENS:
        return tuple(token_ids.draw(num_tokens, generator).tolist())
    return " ".join(WORDS[index] for index in generator.integers(len(WORDS), size=num_tokens))
