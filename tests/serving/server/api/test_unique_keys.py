"""A key that stands twice in a body of any route is named, and the body refused."""

import pytest

from verilora.serving.server.api.api_error import ApiError
from verilora.serving.server.api.unique_keys import check_keys

from servers import Served

COMPLETION = b'{"model": "base", "prompt": "turn", "max_tokens": 2%s}'
CHAT = b'{"model": "base", "messages": [{"role": "user", "content": "x"%s}], "max_tokens": 2}'


@pytest.mark.parametrize(
    ("path", "raw", "key"),
    [
        ("/v1/completions", COMPLETION % b', "prompt": "turn"', "prompt"),
        ("/v1/completions", COMPLETION % (b', "seed": 1' * 10_000), "seed"),
        ("/v1/completions", COMPLETION % b', "logit_bias": {"1": 2, "1": 3}', "1"),
        ("/v1/completions", COMPLETION % b', "structured_outputs": {"json": {"a": [{"b": 1, "b": 1}]}}', "b"),
        ("/v1/chat/completions", CHAT % b', "role": "user"', "role"),
        # The same, written otherwise.
        ("/v1/chat/completions", CHAT % b', "r\\u006fle": "user"', "role"),
        ("/tokenize", b'{"prompt": "a", "prompt": "b"}', "prompt"),
        ("/detokenize", b'{"tokens": [1], "tokens": [2]}', "tokens"),
        ("/v1/load_lora_adapter", b'{"lora_name": "a", "lora_path": "a", "lora_path": "b"}', "lora_path"),
        ("/v1/unload_lora_adapter", b'{"lora_name": "a", "lora_name": "b"}', "lora_name"),
    ],
    ids=lambda value: value.decode()[:60] if isinstance(value, bytes) else value,
)
def test_a_key_twice_is_refused_on_every_route(served: Served, path: str, raw: bytes, key: str) -> None:
    status, answer = served.ask("POST", path, raw)
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "duplicate_key", key), answer
    assert answer["error"]["message"] == f"{key} stands twice in one object, expected it once"


def test_the_same_key_in_two_objects_is_no_fault() -> None:
    check_keys(b'{"a": {"b": 1}, "b": [{"a": 1}, {"a": 2}], "c": ' + b"9" * 10_000 + b"}")


@pytest.mark.parametrize(
    ("key", "shown"), [(b"\\ud800", "\\ud800"), (b"k" * 10_000, "k" * 64)], ids=["half a pair", "long"]
)
def test_what_is_said_of_a_key_can_be_written_and_is_short(key: bytes, shown: str) -> None:
    with pytest.raises(ApiError) as refused:
        check_keys(b'{"%s": 1, "%s": 1}' % (key, key))
    assert refused.value.answer.error.param == shown
    assert refused.value.response().status_code == 400
