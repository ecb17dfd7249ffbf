from pathlib import Path

from verilora.serving.engine.generator import Generator
from verilora.specs.domain import Domain
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.steps import parse_steps
from verilora.synth.models.aligned_sampling import sample_aligned
from verilora.synth.models.generates import Sampling
from verilora.synth.models.prompt import Prompter, PromptStyle

WORDINGS = ["Turn left", "Turn right at the light"]


def test_the_second_query_quotes_the_first_answer_and_both_are_counted(driving: Domain, plain_model: Path) -> None:
    generator = Generator(plain_model)
    prompter = Prompter(driving, PromptStyle.FULL)
    sampling = Sampling(max_new_tokens=10)
    first = generator.sample([prompter.ask_freely(wording) for wording in WORDINGS], sampling, 7)
    questions = [prompter.align(wording, free.text) for wording, free in zip(WORDINGS, first, strict=True)]
    second = generator.sample(questions, sampling, 7)
    aligned = sample_aligned(generator, prompter, WORDINGS, sampling, 7)
    assert [completion.text for completion in aligned] == [completion.text for completion in second]
    for both, free, final in zip(aligned, first, second, strict=True):
        assert both.num_tokens == free.num_tokens + final.num_tokens
        assert both.num_prompt_tokens == free.num_prompt_tokens + final.num_prompt_tokens


def test_only_the_second_query_is_constrained(driving: Domain, plain_model: Path) -> None:
    generator = Generator(plain_model, vocabulary=driving.vocabulary)
    prompter = Prompter(driving, PromptStyle.FULL)
    sampling = Sampling(max_new_tokens=300, constrained=True)
    completions = sample_aligned(generator, prompter, ["Turn left"] * 16, sampling, 0)
    assert all(completion.text.startswith("1. ") for completion in completions)
    alignment = Alignment(driving.vocabulary)
    whole = [completion.text for completion in completions if completion.num_tokens < sampling.max_new_tokens]
    assert whole
    for text in whole:
        parse_steps(text, alignment)
