"""The API over plain HTTP: shapes of streams, what is refused and how, the document, and what the log says."""

import json
import subprocess
import sys
from typing import Any

import jsonschema
import pytest

from servers import Served, until

CHAT = {"model": "base", "messages": [{"role": "user", "content": "turn right"}], "max_tokens": 6, "seed": 1}
COMPLETION = {"model": "base", "prompt": "turn right", "max_tokens": 6, "seed": 1}
PATHS = {"/v1/chat/completions": CHAT, "/v1/completions": COMPLETION}
ON_BOTH = pytest.mark.parametrize("path", PATHS)


def test_the_app_loads_no_torch() -> None:
    code = (
        "import sys; import verilora.serving.commands.serve_command as c; "
        "print(sorted({'torch', 'transformers', 'peft', 'xgrammar'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("n", [1, 3])
def test_a_streamed_chat_begins_with_roles_and_ends_each_choice_once(served: Served, n: int) -> None:
    chunks = served.stream("/v1/chat/completions", {**CHAT, "n": n, "stream_options": {"include_usage": True}})
    assert {(chunk["id"], chunk["object"], chunk["model"], chunk["created"]) for chunk in chunks} == {
        (chunks[0]["id"], "chat.completion.chunk", "base", chunks[0]["created"])
    }
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    for index in range(n):
        own = [choice for choice in choices if choice["index"] == index]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert [choice["finish_reason"] for choice in own if choice["finish_reason"]] == ["length"]
        assert own[-1]["finish_reason"] == "length"
        assert all("role" not in choice["delta"] for choice in own[1:])
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 6 * n


@ON_BOTH
def test_without_being_asked_for_a_stream_has_no_usage(served: Served, path: str) -> None:
    assert all("usage" not in chunk for chunk in served.stream(path, PATHS[path]))


@ON_BOTH
def test_pieces_of_a_stream_are_what_the_document_says(served: Served, path: str) -> None:
    _, document = served.ask("GET", "/openapi.json")
    kind = {"/v1/chat/completions": "ChatCompletionChunk", "/v1/completions": "Completion"}[path]
    schema = {"$ref": f"#/components/schemas/{kind}", "components": document["components"]}
    asked = {**PATHS[path], "n": 2, "stream_options": {"include_usage": True}}
    logprobs = {"logprobs": True, "top_logprobs": 2} if "messages" in asked else {"logprobs": 2}
    for chunk in served.stream(path, {**asked, **logprobs}):
        jsonschema.validate(chunk, schema)


def test_a_completion_echoes_in_a_stream_and_numbers_choices_by_prompt(served: Served) -> None:
    asked = {**COMPLETION, "prompt": ["turn right", "go"], "n": 2, "echo": True, "temperature": 0}
    texts = dict.fromkeys(range(4), "")
    for chunk in served.stream("/v1/completions", asked):
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["text"]
    _, whole = served.ask("POST", "/v1/completions", asked)
    assert texts == {choice["index"]: choice["text"] for choice in whole["choices"]}
    assert texts[0] == texts[1]
    assert texts[0].startswith("turn right")
    assert texts[2].startswith("go")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tools": [{}]}, "tools"),
        ({"audio": {}}, "audio"),
        ({"best_of": 2}, "best_of"),
        ({"frobnicate": 1}, "frobnicate"),
        ({"n": 0}, "n"),
        ({"n": 100}, "n"),
        ({"n": "1"}, "n"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"seed": 2**63}, "seed"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": ["x" * 257]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"logit_bias": {"x": 1}}, "logit_bias.x"),
        ({"logit_bias": {"9999": 1}}, "logit_bias"),
        ({"stop_token_ids": [99999]}, "stop_token_ids"),
        ({"min_tokens": 7}, "min_tokens"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"model": None}, "model"),
    ],
    ids=str,
)
@ON_BOTH
def test_what_cannot_be_is_refused_with_its_field(
    served: Served, path: str, change: dict[str, Any], param: str
) -> None:
    status, answer = served.ask("POST", path, {**PATHS[path], **change})
    assert (status, answer["error"]["param"]) == (400, param), answer
    assert answer["error"]["type"] == "invalid_request_error"
    assert param.partition(".")[0] in answer["error"]["message"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [991]}, "prompt"),
        ({"prompt": ["a"] * 65}, "prompt"),
        ({"prompt": [5] * 1024}, "prompt"),
        ({"prompt": "a" * 5000}, "prompt"),
        ({"prompt": "a" * 500_000}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"logprobs": 21}, "logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_continued_is_refused(served: Served, change: dict[str, Any], param: str) -> None:
    status, answer = served.ask("POST", "/v1/completions", {**COMPLETION, **change})
    assert (status, answer["error"]["param"]) == (400, param), answer


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "a" * 5000}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, None),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": [{}]}]}, "tool_calls"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"max_completion_tokens": 3}, "max_tokens"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_answered_is_refused(served: Served, change: dict[str, Any], param: str | None) -> None:
    status, answer = served.ask("POST", "/v1/chat/completions", {**CHAT, **change})
    assert status == 400, answer
    assert param is None or answer["error"]["param"] == param


@pytest.mark.parametrize(
    "change",
    [
        {"tools": []},
        {"tools": None, "response_format": {"type": "text"}},
        {"best_of": 1, "user": "me", "store": False, "logit_bias": None},
    ],
    ids=str,
)
@ON_BOTH
def test_what_asks_for_nothing_is_no_error(served: Served, path: str, change: dict[str, Any]) -> None:
    status, answer = served.ask("POST", path, {**PATHS[path], **change})
    assert status == 200, answer


def test_parts_of_a_message_are_joined(served: Served) -> None:
    parts = [{"type": "text", "text": "turn "}, {"type": "text", "text": "right"}]
    tokens = [
        served.ask("POST", "/tokenize", {"messages": [{"role": "user", "content": content}]})[1]["tokens"]
        for content in (parts, "turn right")
    ]
    assert tokens[0] == tokens[1]


@ON_BOTH
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000], ids=lambda raw: str(raw[:8])
)
def test_what_is_no_body_is_refused(served: Served, path: str, body: bytes) -> None:
    status, answer = served.ask("POST", path, body)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")


def test_large_bodies_are_refused_before_they_are_read(served: Served) -> None:
    response = served.open("POST", "/v1/completions", b"", {"Content-Length": str(2**24)})
    assert (response.status, json.loads(response.read())["error"]["code"]) == (413, "body_too_large")
    status, answer = served.ask("POST", "/v1/completions", {**COMPLETION, "prompt": "a " * 2**19})
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")


def test_bodies_that_a_page_of_another_site_could_send_are_refused(served: Served) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = served.open("POST", "/v1/completions", COMPLETION, {"Content-Type": kind})
        assert (response.status, json.loads(response.read())["error"]["code"]) == (415, "not_json")
    response = served.open("POST", "/v1/completions", COMPLETION, {"Content-Type": "application/json; charset=utf-8"})
    assert response.status == 200
    response = served.open("GET", "/v1/models", headers={"Host": "evil.example"})
    assert (response.status, json.loads(response.read())["error"]["code"]) == (403, "host_not_allowed")


def test_large_headers_are_refused(served: Served) -> None:
    status = served.open("GET", "/health", headers={f"X-Long-{count}": "x" * 40_000 for count in range(2)}).status
    assert status == 431
    # The protocol's own limit.
    assert served.open("GET", "/health", headers={"X-Long": "x" * 300_000}).status == 400


def test_tokens_and_text_are_each_others_inverse(served: Served) -> None:
    text = "turn right 😀 ดี"
    _, found = served.ask("POST", "/tokenize", {"prompt": text, "return_token_strs": True})
    assert found["count"] == len(found["tokens"]) == len(found["token_strs"])
    assert served.ask("POST", "/detokenize", {"tokens": found["tokens"]}) == (200, {"prompt": text})
    assert served.ask("POST", "/tokenize", {})[0] == 400
    assert served.ask("POST", "/tokenize", {"model": "nobody", "prompt": "x"})[0] == 404


def test_routes_that_are_not_there_have_the_shape_of_errors_too(served: Served) -> None:
    for method, path, status in (("GET", "/nowhere", 404), ("GET", "/v1/completions", 405), ("GET", "/docs", 404)):
        found, answer = served.ask(method, path)
        assert (found, set(answer["error"])) == (status, {"message", "type", "param", "code"})


def test_errors_and_the_log_tell_nothing_of_prompts_and_files(served: Served) -> None:
    secret = "hunter2"
    for path, body in PATHS.items():
        asked = {**body, "messages" if "messages" in body else "prompt": [{secret: secret}]}
        _, answer = served.ask("POST", path, asked)
        assert secret not in answer["error"]["message"].replace(f"{secret} is not a known field", "")
    served.ask("POST", "/v1/completions", {**COMPLETION, "prompt": secret})
    until(lambda: '"route": "/v1/completions", "status": 200' in served.log.read_text())
    text = served.log.read_text()
    assert secret not in text
    assert "error" not in {json.loads(line)["level"] for line in text.splitlines() if line.startswith("{")}


def test_every_answer_names_its_request(served: Served) -> None:
    ids = {served.open("GET", "/health").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_the_document_tells_the_errors_of_every_route(served: Served) -> None:
    _, document = served.ask("GET", "/openapi.json")
    names = json.dumps(document["components"]["schemas"])
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert "400" in operation["responses"], path
            assert "422" not in operation["responses"], path
    for reference in {part.partition('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]}:
        assert f'"{reference}"' in names


def test_the_figures_grow_with_what_is_asked(served: Served) -> None:
    name = 'verilora_adapter_tokens_total{model="tenant/one"}'
    served.ask("POST", "/v1/completions", {**COMPLETION, "model": "tenant/one", "ignore_eos": True})
    before = served.metric(name)
    served.ask("POST", "/v1/completions", {**COMPLETION, "model": "tenant/one", "ignore_eos": True})
    assert served.metric(name) == before + 6
    assert served.metric("verilora_adapter_reads_total") == 1
    pages = sum(
        served.metric(f'verilora_pool_pages{{owner="{owner}"}}') for owner in ("free", "kv", "adapter", "prefix")
    )
    assert pages == 5461
