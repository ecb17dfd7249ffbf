"""The tokenizer of base models, and the shipped one."""

import pytest
from transformers import PreTrainedTokenizerFast

from verilora.specs.corpus_description import read_corpus
from verilora.specs.domain import Domain
from verilora.synth.corpus.corpus import CorpusGenerator
from verilora.synth.corpus.tokenizer_training import (
    ASSISTANT,
    CHAT_TEMPLATE,
    END,
    PAD,
    USER,
    conversation_text,
    train_tokenizer,
)
from verilora.synth.models.base_model import EMBEDDED_FOLDER
from verilora.synth.models.language_model import load_tokenizer


@pytest.fixture(scope="module")
def texts(driving: Domain) -> list[str]:
    generator = CorpusGenerator(read_corpus(driving.folder / "corpus.yaml", driving), driving)
    return [conversation_text(draw.turns) for draw in generator.chunk(0, 0, 2000)]


@pytest.fixture(scope="module")
def tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    return train_tokenizer(texts, 700)


@pytest.mark.parametrize("text", ["1. stop\n2. go to step 1", "  Füße, 雨 \t\0", "", "<|end", "If no car, turn right"])
def test_every_text_comes_back(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_corpus_comes_back_from_the_shipped_tokenizer(texts: list[str]) -> None:
    shipped = load_tokenizer(EMBEDDED_FOLDER)
    assert [shipped.decode(ids) for ids in shipped(texts)["input_ids"]] == texts


def test_the_same_texts_give_the_same_tokenizer(texts: list[str], tokenizer: PreTrainedTokenizerFast) -> None:
    again = train_tokenizer(texts, 700)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert len(tokenizer) <= 700


def test_special_tokens_are_single_and_padding_is_no_end(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer(PAD + USER + ASSISTANT + END)["input_ids"]
    assert len(ids) == len(set(ids)) == 4
    assert tokenizer.pad_token == PAD
    assert tokenizer.eos_token == END


def test_the_chat_template_writes_what_pretraining_reads() -> None:
    shipped = load_tokenizer(EMBEDDED_FOLDER)
    assert shipped.chat_template == CHAT_TEMPLATE
    turns = [("Turn right", "1. stop\n2. turn right"), ("This breaks a rule.", "1. turn right\n2. stop")]
    messages = [
        {"role": role, "content": text}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    assert shipped.apply_chat_template(messages, tokenize=False) == conversation_text(turns)
    prompt = shipped.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert conversation_text(turns).startswith(prompt)
    assert prompt.endswith(ASSISTANT)
