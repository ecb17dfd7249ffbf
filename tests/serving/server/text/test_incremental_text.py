"""Text by tokens equals the text of all of them, whatever bytes they hold and wherever they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.decoders import ByteFallback, Fuse, Replace, Sequence, Strip
from tokenizers.models import BPE

from verilora.serving.server.text.incremental_text import IncrementalText

from tiny_models import tiny_tokenizer

TEXTS = ("hello world", "ดีครับ สวัสดี", "a 😀 b 👨‍👩‍👧 c", "€uro ¿ñ?", " leading", "1. stop\n2. go")


def byte_level() -> Tokenizer:
    return tiny_tokenizer(["hello world", "stop go"]).backend_tokenizer


def byte_fallback() -> Tokenizer:
    """As Llama 2 and Mistral have it: words with a bar before them, and bytes for what is not in the vocabulary."""
    words = [
        "<unk>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        *"abcdefghijklmnopqrstuvwxyz",
        "▁he",
        "llo",
        "▁a",
    ]
    tokenizer = Tokenizer(BPE({word: place for place, word in enumerate(words)}, [], byte_fallback=True))
    tokenizer.decoder = Sequence([Replace("▁", " "), ByteFallback(), Fuse(), Strip(" ", 1, 0)])
    return tokenizer


TOKENIZERS = {"byte level": byte_level(), "byte fallback": byte_fallback()}


def grown(tokenizer: Tokenizer, tokens: list[int], stops: tuple[str, ...] = ()) -> list[str]:
    text = IncrementalText(lambda ids: tokenizer.decode(ids), stops)
    return [*(text.push([token]) for token in tokens), text.finish()]


@pytest.mark.parametrize("text", TEXTS)
def test_characters_are_never_said_in_halves(text: str) -> None:
    tokenizer = TOKENIZERS["byte level"]
    parts = grown(tokenizer, tokenizer.encode(text).ids)
    assert "".join(parts) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in part for part in parts)


@pytest.mark.parametrize("text", TEXTS)
def test_bytes_of_a_vocabulary_with_fallback_are_joined(text: str) -> None:
    tokens = [1 + byte for byte in text.encode()]
    assert "".join(grown(TOKENIZERS["byte fallback"], tokens)).lstrip() == text.lstrip()


@given(st.lists(st.integers(0, 280), max_size=40))
def test_any_bytes_become_what_the_tokenizer_makes_of_all_of_them(tokens: list[int]) -> None:
    tokenizer = TOKENIZERS["byte level"]
    assert "".join(grown(tokenizer, tokens)) == tokenizer.decode(tokens)


@given(st.lists(st.integers(257, 286), max_size=40))
def test_spaces_before_words_are_kept(tokens: list[int]) -> None:
    tokenizer = TOKENIZERS["byte fallback"]
    assert "".join(grown(tokenizer, tokens)) == tokenizer.decode(tokens)


def test_tokens_without_text_do_not_eat_a_space() -> None:
    tokenizer = TOKENIZERS["byte fallback"]
    he, llo = tokenizer.token_to_id("▁he"), tokenizer.token_to_id("llo")
    text = IncrementalText(lambda ids: tokenizer.decode(ids), silent={0})
    assert "".join(text.push([token]) for token in (he, llo, 0, he, llo)) + text.finish() == "hello hello"


def test_what_is_broken_for_ever_does_not_wait_for_ever() -> None:
    tokenizer = TOKENIZERS["byte level"]
    lead = tokenizer.encode("😀").ids[0]
    parts = grown(tokenizer, [lead] * 100)
    assert "".join(parts) == tokenizer.decode([lead] * 100)
    assert all(any(parts[place : place + 10]) for place in range(80))


@given(
    st.text("abc", max_size=30),
    st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=2),
    st.lists(st.integers(1, 4), min_size=30, max_size=30),
)
def test_nothing_of_a_stop_string_is_said(text: str, stops: list[str], sizes: list[int]) -> None:
    """The tokens of this decoder are characters; they come in pieces of some sizes."""
    found = [text.find(stop) + len(stop) for stop in stops if stop in text]
    # The engine ends at the first stop string that is whole.
    shown = text[: min(found)] if found else text
    whole = shown[: min(shown.find(stop) for stop in stops if stop in shown)] if found else shown
    growing = IncrementalText(lambda ids: "".join(map(chr, ids)), stops)
    parts, place = [], 0
    for size in sizes:
        piece = shown[place : place + size]
        place += size
        tokens = [ord(character) for character in piece]
        if place < len(shown):
            parts.append(growing.push(tokens))
        else:
            growing.hold(tokens)
    parts.append(growing.finish(whole if found else None))
    assert "".join(parts) == whole
    assert all(len("".join(parts[:count])) <= len(whole) for count in range(len(parts)))


def test_a_text_that_may_become_a_stop_string_waits() -> None:
    text = IncrementalText(lambda ids: "".join(map(chr, ids)), ["STOP"])
    said = [text.push([ord(character)]) for character in "xSTSTa"]
    assert said == ["x", "", "", "ST", "", "STa"]
