from pathlib import Path

import pytest
import torch
import xgrammar
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.serving.engine.generator import Generator
from verilora.specs.domain import Domain
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.steps import Program, parse_steps, print_steps
from verilora.synth.models.constrained import StepCompiler
from verilora.synth.models.generates import Sampling

from strategies import DRIVING, programs
from tiny_models import save_tiny_model, tiny_tokenizer

LONG = Sampling(temperature=1.0, max_new_tokens=300, constrained=True)
TOKENIZER = tiny_tokenizer([word.english for word in (*DRIVING.propositions, *DRIVING.actions)])
# Wider than the tokenizer, as many models are.
COMPILER = StepCompiler(DRIVING, TOKENIZER, len(TOKENIZER) + 7, [TOKENIZER.eos_token_id])


def masked(matcher: xgrammar.GrammarMatcher) -> torch.Tensor:
    """Return zeros, and minus infinity where a token may not follow."""
    bitmask = xgrammar.allocate_token_bitmask(1, len(TOKENIZER) + 7)
    matcher.fill_next_token_bitmask(bitmask, 0)
    logits = torch.zeros(1, len(TOKENIZER) + 7)
    xgrammar.apply_token_bitmask_inplace(logits, bitmask)
    return logits[0]


def test_a_model_that_knows_nothing_writes_steps(driving: Domain, chat_model: Path) -> None:
    generator = Generator(chat_model, vocabulary=driving.vocabulary)
    conversations = [({"role": "user", "content": "Turn left"},)] * 64
    completions = generator.sample(conversations, LONG, 0)
    ended = [completion.text for completion in completions if completion.num_tokens < LONG.max_new_tokens]
    assert len(ended) > 40
    alignment = Alignment(driving.vocabulary)
    lengths = {len(parse_steps(text, alignment)) for text in ended}
    assert len(lengths) > 3
    free = generator.sample(conversations, Sampling(max_new_tokens=60), 0)
    assert not any(completion.text.startswith("1. ") for completion in free)


def test_the_same_seed_gives_the_same_steps(driving: Domain, chat_model: Path) -> None:
    generator = Generator(chat_model, vocabulary=driving.vocabulary)
    conversations = [({"role": "user", "content": "Turn left"},)] * 8
    first = generator.sample(conversations, LONG, 5)
    assert generator.sample(conversations, LONG, 5) == first


def test_a_tokenizer_without_a_chat_template(driving: Domain, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path, tiny_tokenizer(["turn left"], chat=False), "qwen3")
    generator = Generator(folder, vocabulary=driving.vocabulary)
    completions = generator.sample([({"role": "user", "content": "Turn left"},)] * 16, LONG, 0)
    ended = [completion.text for completion in completions if completion.num_tokens < LONG.max_new_tokens]
    assert ended
    for text in ended:
        parse_steps(text, Alignment(driving.vocabulary))


def test_a_vocabulary_is_needed(chat_model: Path) -> None:
    with pytest.raises(ValueError, match="constrained sampling needs a vocabulary"):
        Generator(chat_model).sample([({"role": "user", "content": "Go"},)], LONG, 0)


@settings(max_examples=40)
@given(programs(DRIVING), st.data())
def test_no_way_to_write_a_program_is_masked(program: Program, data: st.DataObject) -> None:
    """Any split of a printed program into tokens is allowed, and the end only behind it."""
    text = print_steps(program, DRIVING)
    tokens = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    at = data.draw(st.integers(0, len(text) - 1))
    head, tail = (TOKENIZER(part, add_special_tokens=False)["input_ids"] for part in (text[:at], text[at:]))
    for wanted in ([*tokens, TOKENIZER.eos_token_id], [*head, *tail, TOKENIZER.eos_token_id]):
        matcher = COMPILER.matcher()
        for token in wanted:
            logits = masked(matcher)
            assert logits[token] == 0
            assert torch.isneginf(logits[len(TOKENIZER) :]).all()
            assert matcher.accept_token(token)


def test_the_end_is_allowed_only_behind_whole_steps() -> None:
    matcher = COMPILER.matcher()
    for token in TOKENIZER("1. stop\n2. turn", add_special_tokens=False)["input_ids"]:
        assert torch.isneginf(masked(matcher)[TOKENIZER.eos_token_id])
        assert matcher.accept_token(token)
