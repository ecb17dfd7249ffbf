import msgspec
import pytest

from verilora.serving.load.answer_chunk import read_chunk


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"choices": [{"text": " a"}]}', True),
        (b'{"choices": [{"text": "", "finish_reason": "stop"}]}', False),
        (b'{"choices": [{"delta": {"role": "assistant", "content": ""}}]}', False),
        (b'{"choices": [{"delta": {"content": null, "reasoning_content": "hm"}}]}', True),
        (b'{"choices": [{"delta": {"reasoning": "hm"}, "logprobs": null}], "id": 7}', True),
        (b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}', False),
        (b'{"choices": [], "usage": {}}', False),
    ],
)
def test_what_says_something(data: bytes, says: bool) -> None:
    assert any(choice.says_something for choice in read_chunk(data).choices) == says


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"choices": 1}', b'{"choices": [{"text": 5}]}', b"\xff"])
def test_what_is_no_piece_of_an_answer(data: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        read_chunk(data)
