"""The paper's two queries: steps in any words, then the same steps in the vocabulary (Yang et al., section 4)."""

from collections.abc import Sequence
from dataclasses import replace

from .generates import Completion, Generates, Sampling
from .prompt import Prompter


def sample_aligned(
    generator: Generates, prompter: Prompter, wordings: Sequence[str], sampling: Sampling, seed: int
) -> list[Completion]:
    """Return one response to each wording, asked for freely and then aligned; tokens of both queries are counted.

    The first query is never constrained. For general models: one trained on wordings alone answers in the vocabulary.
    """
    free = generator.sample(
        [prompter.ask_freely(wording) for wording in wordings], replace(sampling, constrained=False), seed
    )
    questions = [prompter.align(wording, first.text) for wording, first in zip(wordings, free, strict=True)]
    return [
        Completion(
            second.text, first.num_prompt_tokens + second.num_prompt_tokens, first.num_tokens + second.num_tokens
        )
        for first, second in zip(free, generator.sample(questions, sampling, seed), strict=True)
    ]
