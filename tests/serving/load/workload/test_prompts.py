import numpy as np

from verilora.serving.load.choices import PromptKind
from verilora.serving.load.workload.lengths import LengthRange
from verilora.serving.load.workload.prompts import WORDS, draw_prompt

IDS = LengthRange(10, 250)


def test_token_ids_are_of_the_range() -> None:
    prompt = draw_prompt(PromptKind.TOKENS, 5000, IDS, np.random.default_rng(0))
    assert isinstance(prompt, tuple)
    assert {*prompt} == {*range(10, 251)}
    assert all(type(one) is int for one in prompt)


def test_words_are_as_many_as_asked_for() -> None:
    prompt = draw_prompt(PromptKind.WORDS, 500, IDS, np.random.default_rng(0))
    assert isinstance(prompt, str)
    words = prompt.split(" ")
    assert len(words) == 500
    assert {*words} == {*WORDS}
    assert len({*WORDS}) == len(WORDS)
