"""What can be chosen by a name; it stands alone so that the command line starts at once."""

from enum import StrEnum


class Route(StrEnum):
    """Which of OpenAI's routes answers."""

    COMPLETIONS = "completions"
    CHAT = "chat"


class Popularity(StrEnum):
    """How often models are asked for.

    Punica (arXiv 2310.18547, section 7): `identical` asks for one model, `uniform` for all alike, `skewed` for each 1.5
    times as often as for the next ("Zipf-1.5" there), `distinct` for one after the other. S-LoRA (arXiv 2311.03285,
    section 7.1): `power-law`, whose alpha of 1 is uniform; the smaller it is, the more often the first is asked for.
    """

    IDENTICAL = "identical"
    UNIFORM = "uniform"
    SKEWED = "skewed"
    DISTINCT = "distinct"
    POWER_LAW = "power-law"


class PromptKind(StrEnum):
    """What a prompt is made of: token ids, which every length is exact in, or words, which are about a token each."""

    TOKENS = "tokens"
    WORDS = "words"
