import json

import pytest

from verilora.serving.load.choices import Route
from verilora.serving.load.target import Target
from verilora.serving.load.workload.plan import PlannedRequest

REQUEST = PlannedRequest(number=0, at=0.0, model="tenant-1", prompt=(5, 6), input_len=2, output_len=9)


@pytest.mark.parametrize("url", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"])
def test_where_requests_go(url: str) -> None:
    assert Target(url=url).endpoint == "http://h:1/v1/completions"
    assert Target(url=url, route=Route.CHAT).endpoint == "http://h:1/v1/chat/completions"


def test_bodies() -> None:
    expected = {
        "model": "tenant-1",
        "prompt": [5, 6],
        "max_tokens": 9,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert json.loads(Target(url="http://h").body(REQUEST)) == expected
    chat = Target(url="http://h", route=Route.CHAT, ignore_eos=True)
    body = json.loads(chat.body(REQUEST))
    assert (body["messages"], body["ignore_eos"]) == ([{"role": "user", "content": [5, 6]}], True)
    assert "prompt" not in body


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://h"},
        {"url": "h:8000"},
        {"url": "http://"},
        {"url": "http://h:99999"},
        {"url": "http://h:x"},
        {"url": "http://[::1"},
        {"url": "http://user:secret@h"},
        {"url": "http://h?key=secret"},
        {"timeout": 0.0},
        {"temperature": 3.0},
        {"key": "a\r\nX-Evil: secret"},
        {"key": "a secret"},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_without_its_secrets(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected") as raised:
        Target(**{"url": "http://h", **wrong})  # type: ignore[arg-type]
    assert "secret" not in str(raised.value)
