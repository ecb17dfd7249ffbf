"""The bytes of a token are those that it adds to a text."""

from hypothesis import given
from hypothesis import strategies as st

from verilora.serving.server.text.token_bytes import token_bytes

from tiny_models import tiny_tokenizer

TOKENIZER = tiny_tokenizer(["hello world", "stop go"]).backend_tokenizer


@given(st.text(max_size=20))
def test_bytes_of_tokens_joined_are_the_text(text: str) -> None:
    raw = b"".join(
        token_bytes(TOKENIZER.id_to_token(token), TOKENIZER.decode([token]), is_byte_level=True)
        for token in TOKENIZER.encode(text, add_special_tokens=False).ids
    )
    # Words of special tokens in a text are those tokens.
    assert raw == text.encode()


def test_other_vocabularies_name_bytes_or_have_none() -> None:
    assert token_bytes("<0xF0>", "\N{REPLACEMENT CHARACTER}", is_byte_level=False) == b"\xf0"
    assert token_bytes("▁é", " é", is_byte_level=False) == " é".encode()
    assert token_bytes("<|end|>", "<|end|>", is_byte_level=True) == b"<|end|>"
