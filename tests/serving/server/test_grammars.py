"""Answers that follow a grammar: JSON, JSON of a schema, steps."""

import json
from typing import Any

import jsonschema
import pytest

from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.steps import parse_steps

from servers import Served

CHAT = {"model": "base", "messages": [{"role": "user", "content": "turn right"}], "max_tokens": 300, "seed": 3}
SCHEMA = {
    "type": "object",
    "properties": {
        "turn": {"enum": ["left", "right"]},
        "steps": {"type": "array", "maxItems": 2, "items": {"const": 1}},
    },
    "required": ["turn", "steps"],
    "additionalProperties": False,
}
OF_SCHEMA = {"type": "json_schema", "json_schema": {"name": "turn", "schema": SCHEMA}}


def content(served: Served, **asked: Any) -> str:
    status, answer = served.ask("POST", "/v1/chat/completions", {**CHAT, **asked})
    assert status == 200, answer
    assert answer["choices"][0]["finish_reason"] == "stop"
    text: str = answer["choices"][0]["message"]["content"]
    return text


@pytest.mark.parametrize(
    "asked", [{"response_format": OF_SCHEMA}, {"structured_outputs": {"json": SCHEMA}}], ids=lambda asked: min(asked)
)
def test_json_follows_its_schema(served: Served, asked: dict[str, Any]) -> None:
    jsonschema.validate(json.loads(content(served, **asked)), SCHEMA)


def test_a_stream_under_a_grammar_is_the_whole_answer(served: Served) -> None:
    whole = content(served, response_format=OF_SCHEMA)
    chunks = served.stream("/v1/chat/completions", {**CHAT, "response_format": OF_SCHEMA})
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole


def test_any_object_is_an_object(served: Served) -> None:
    # This model writes none of itself.
    status, answer = served.ask(
        "POST", "/v1/chat/completions", {**CHAT, "max_tokens": 8, "response_format": {"type": "json_object"}}
    )
    assert status == 200, answer
    assert answer["choices"][0]["message"]["content"].startswith("{")


def test_steps_can_be_read(served: Served, alignment: Alignment) -> None:
    text = content(served, temperature=1.5, structured_outputs={"grammar": "steps"})
    assert parse_steps(text, alignment)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"grammar": "root ::= nothing"}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "(a+)+"}}, "regex"),
        ({"response_format": OF_SCHEMA, "structured_outputs": {"grammar": "steps"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"const": "x" * 70_000}}}}, None),
    ],
    ids=lambda value: str(value)[:60],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_cannot_be_followed_is_refused(
    served: Served, asked: dict[str, Any], param: str | None, stream: bool
) -> None:
    status, answer = served.ask("POST", "/v1/chat/completions", {**CHAT, **asked, "stream": stream})
    assert status == 400, answer
    assert param is None or answer["error"]["param"] == param
    assert "/" not in answer["error"]["message"]


NOWHERE = {
    "type": "object",
    "properties": {"turn": {"$ref": "#/$defs/itself"}},
    "required": ["turn"],
    "$defs": {"itself": {"$ref": "#/$defs/itself"}},
}
DEAD_ENDS: dict[str, dict[str, Any]] = {
    "a schema that nothing follows": {"structured_outputs": {"json": NOWHERE}},
    "an answer that is too short": {"structured_outputs": {"json": {"const": "turn"}}, "min_tokens": 100},
}


@pytest.mark.parametrize("asked", DEAD_ENDS.values(), ids=DEAD_ENDS)
def test_what_ends_nowhere_is_the_requests_fault(served: Served, asked: dict[str, Any]) -> None:
    status, answer = served.ask("POST", "/v1/chat/completions", {**CHAT, **asked})
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error"), answer
    raw = served.open("POST", "/v1/chat/completions", {**CHAT, **asked, "stream": True}).read().decode()
    *_, last = [part.removeprefix("data: ") for part in raw.split("\n\n") if part]
    # Behind what could be said, without [DONE].
    assert json.loads(last) == answer
    message = "grammar, got no token that may follow with what else is asked for, expected at least one"
    assert (answer["error"]["message"], answer["error"]["param"]) == (message, None)
