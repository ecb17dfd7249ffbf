"""Pretraining, at the smallest size: what it reads, and that it learns the same every time."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from verilora.specs.corpus_description import read_corpus
from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.synth.corpus.corpus import CorpusGenerator, Draw
from verilora.synth.corpus.pretraining import Architecture, Pretraining, mean_loss, new_model, pretrain
from verilora.synth.corpus.token_corpus import TokenCorpus, concatenate, encode
from verilora.synth.corpus.tokenizer_training import ASSISTANT, END, conversation_text, train_tokenizer

TINY = Architecture(hidden=32, layers=1, heads=2, intermediate=64, context=256)
HOW = Pretraining(num_tokens=30_000, batch_tokens=1024, learning_rate=1e-2, seed=3)


@pytest.fixture(scope="module")
def draws(greenhouse: Domain) -> list[Draw]:
    generator = CorpusGenerator(read_corpus(greenhouse.folder / "corpus.yaml", greenhouse), greenhouse)
    return generator.chunk(0, 0, 600)


@pytest.fixture(scope="module")
def tokenizer(draws: list[Draw]) -> PreTrainedTokenizerFast:
    return train_tokenizer((conversation_text(draw.turns) for draw in draws), 400)


@pytest.fixture(scope="module")
def corpus(draws: list[Draw], tokenizer: PreTrainedTokenizerFast) -> TokenCorpus:
    return encode(draws, tokenizer)


def sequence(corpus: TokenCorpus, number: int) -> list[int]:
    return corpus.tokens[corpus.starts[number] : corpus.starts[number + 1]].tolist()


def test_sequences_are_conversations_and_know_where_the_answer_begins(
    draws: list[Draw], corpus: TokenCorpus, tokenizer: PreTrainedTokenizerFast
) -> None:
    assert len(corpus) == len(draws)
    for number in (0, 1, len(draws) - 1):
        ids = sequence(corpus, number)
        assert tokenizer.decode(ids) == conversation_text(draws[number].turns)
        assert tokenizer.decode(ids[corpus.answers[number] :]) == draws[number].answer + END


def test_of_a_repair_only_the_second_answer_is_learnt(draws: list[Draw], tokenizer: PreTrainedTokenizerFast) -> None:
    turns = (draws[0].turns[0], ("Write the steps again.", "1. hold\n2. heat"))
    draw = Draw(turns=turns, task_id=draws[0].task_id, circumstance=None, quality="low")
    repaired = encode([draw], tokenizer)
    ids = sequence(repaired, 0)
    assert ids.count(tokenizer.convert_tokens_to_ids(ASSISTANT)) == 2
    assert tokenizer.decode(ids[repaired.answers[0] :]) == "1. hold\n2. heat" + END


def test_parts_make_up_the_whole(draws: list[Draw], corpus: TokenCorpus, tokenizer: PreTrainedTokenizerFast) -> None:
    whole = concatenate([encode(draws[:100], tokenizer), encode(draws[100:], tokenizer)])
    for field in ("tokens", "starts", "answers"):
        assert np.array_equal(getattr(whole, field), getattr(corpus, field)), field


def test_a_file_gives_the_corpus_back_and_refuses_another_origin(corpus: TokenCorpus, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "corpus.npz"
    corpus.save(path, {"seed": 0, "num_chunks": 1})
    again = TokenCorpus.load(path, {"seed": 0, "num_chunks": 1})
    assert np.array_equal(again.tokens, corpus.tokens)
    assert np.array_equal(again.starts, corpus.starts)
    with pytest.raises(ValueError, match=r"corpus\.npz: made from another seed: expected"):
        TokenCorpus.load(path, {"seed": 1, "num_chunks": 1})


def test_training_lowers_the_loss_and_is_reproducible(corpus: TokenCorpus, tokenizer: PreTrainedTokenizerFast) -> None:
    states, reports = [], []
    for _ in range(2):
        model = new_model(TINY, tokenizer, seed=3)
        before = mean_loss(model, corpus, HOW)
        assert before == pytest.approx(math.log(len(tokenizer)), rel=0.05)
        seen: list[tuple[int, float]] = []
        pretrain(model, corpus, HOW, lambda tokens, loss, seen=seen: seen.append((tokens, loss)))
        assert mean_loss(model, corpus, HOW) < before / 2
        states.append(model.state_dict())
        reports.append(seen)
    assert reports[0] == reports[1]
    assert HOW.num_tokens <= reports[0][-1][0] < HOW.num_tokens + HOW.batch_tokens
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_loss_that_is_not_finite_ends_the_training(corpus: TokenCorpus, tokenizer: PreTrainedTokenizerFast) -> None:
    model = new_model(TINY, tokenizer, seed=3)
    with torch.no_grad():
        model.get_input_embeddings().weight[0] = torch.nan
    message = r"^pretraining: diverged: after \d+ tokens the loss is no longer finite; expected .* rate than "
    with pytest.raises(InputError, match=message):
        pretrain(model, corpus, HOW, lambda _, loss: pytest.fail(f"reported {loss}"))


def test_another_seed_gives_another_model(tokenizer: PreTrainedTokenizerFast) -> None:
    first, second = (new_model(TINY, tokenizer, seed).model.embed_tokens.weight for seed in (0, 1))
    assert not torch.equal(first, second)


def test_making_a_model_leaves_the_global_randomness_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    before = torch.random.get_rng_state()
    new_model(TINY, tokenizer, seed=3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_padding_does_not_change_the_loss(corpus: TokenCorpus, tokenizer: PreTrainedTokenizerFast) -> None:
    """The loss of all sequences in wide batches is that of each alone."""
    model = new_model(TINY, tokenizer, seed=3)
    alone = Pretraining(num_tokens=1, batch_tokens=int(corpus.lengths.max()), learning_rate=1)
    assert mean_loss(model, corpus, HOW) == pytest.approx(mean_loss(model, corpus, alone), rel=1e-5)


@pytest.mark.parametrize(
    ("field", "value"), [("num_tokens", 0), ("batch_tokens", -1), ("learning_rate", 0.0)], ids=lambda value: str(value)
)
def test_settings_that_train_nothing_are_refused(field: str, value: float) -> None:
    settings = {"num_tokens": 1, "batch_tokens": 1, "learning_rate": 1.0, field: value}
    with pytest.raises(ValueError, match=f"{field}: expected more than 0"):
        Pretraining(**settings)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="expected an even number of dimensions a head, got 32 over 3 heads"):
        Architecture(hidden=32, heads=3)


def test_a_sequence_longer_than_a_batch_is_refused(corpus: TokenCorpus, tokenizer: PreTrainedTokenizerFast) -> None:
    how = Pretraining(num_tokens=1, batch_tokens=8, learning_rate=1)
    with pytest.raises(ValueError, match="batch_tokens: expected at least"):
        pretrain(new_model(TINY, tokenizer, 0), corpus, how, lambda tokens, loss: None)
