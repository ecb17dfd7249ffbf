"""Schemas that are made to hurt: refused, or bounded, and others are answered meanwhile."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from servers import Served

CHAT = {"model": "base", "messages": [{"role": "user", "content": "turn right"}], "max_tokens": 30, "seed": 3}
MEBIBYTE = 2**20


def ask(served: Served, schema: Any, **changes: Any) -> tuple[int, Any]:
    body = {**CHAT, "structured_outputs": {"json": schema}, **changes}
    return served.ask("POST", "/v1/chat/completions", body)


def matching(pattern: str) -> dict[str, object]:
    return {"type": "string", "pattern": pattern}


def doubled(depth: int) -> dict[str, object]:
    """Return a schema of few characters that stands for two to the power of a depth."""
    definitions = {
        f"a{number}": {"anyOf": [{"$ref": f"#/$defs/a{number + 1}"}, {"items": {"$ref": f"#/$defs/a{number + 1}"}}]}
        for number in range(depth)
    }
    return {"$defs": {**definitions, f"a{depth}": {"const": 1}}, "$ref": "#/$defs/a0"}


def nested(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {"const": 1}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


SCHEMAS: dict[str, Any] = {
    "refers to itself": {"$ref": "#"},
    "refers in a circle": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "a tree": {"type": "object", "properties": {"next": {"$ref": "#"}, "other": {"$ref": "#"}}},
    "a list of itself": {"type": "array", "items": {"$ref": "#"}},
    "a file": {"$ref": "file:///etc/passwd"},
    "an address": {"$ref": "http://127.0.0.1/schema"},
    "doubled": doubled(40),
    "deep": nested(90),
    "nested stars": matching("^((a*)*)*$"),
    "nested pluses": matching("^(a+)+$"),
    "alternatives that overlap": matching("^(a|aa|aaa|a?)*b$"),
    "many that may be nothing": matching("^" + "(a?)" * 100 + "a" * 100 + "$"),
    "a counted one": matching("^a{1,30000}$"),
    "nested counted ones": matching("^(a{0,200}){0,200}$"),
    "no pattern": matching("("),
    "looks back": matching("^(?<=a)(b)\\1$"),
    "many properties": {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(1500)}},
    "long strings": {"type": "string", "minLength": 10**9},
    "many items": {"type": "array", "minItems": 10**9, "items": {"const": 1}},
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_vllm_45172_a_hostile_schema_holds_nobody_up(served: Served, schema: Any) -> None:
    with ThreadPoolExecutor(2) as pool:
        hostile = pool.submit(ask, served, schema, n=4)
        other = pool.submit(served.ask, "POST", "/v1/chat/completions", CHAT)
        assert other.result()[0] == 200
        status, answer = hostile.result()
    assert status in (200, 400), answer
    if status == 400:
        assert answer["error"]["param"] == "structured_outputs"
        assert not re.search(r"/(tmp|usr|work|project|proc)/|\.(py|cc|h)\b", answer["error"]["message"]), answer
        assert len(answer["error"]["message"]) < 1500
    assert served.metric("verilora_engine_restarts_total") == 0


@pytest.mark.parametrize("name", ["a counted one", "nested counted ones"])
def test_a_pattern_that_would_slow_every_step_is_refused(served: Served, name: str) -> None:
    status, answer = ask(served, SCHEMAS[name])
    assert status == 400
    assert "repetitions written out" in answer["error"]["message"]


def resident(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def processes(served: Served) -> list[int]:
    """Return the front and all processes that it has started."""
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    return [served.process.pid, *map(int, children)]


@pytest.mark.parametrize(("num_first", "num_more"), [(20, 20), pytest.param(280, 300, marks=pytest.mark.slow)])
def test_vllm_16283_14837_unique_schemas_fill_no_memory(served: Served, num_first: int, num_more: int) -> None:
    def ask_many(first: int, last: int) -> None:
        def one(number: int) -> int:
            keys = {f"key-{num_first}-{number}-{key}": {"enum": [number, key]} for key in range(20)}
            return ask(served, {"type": "object", "properties": keys, "required": [*keys]}, max_tokens=2)[0]

        with ThreadPoolExecutor(4) as pool:
            assert {*pool.map(one, range(first, last))} == {200}

    # So many are kept, here or there.
    ask_many(0, num_first)
    before = {pid: resident(pid) for pid in processes(served)}
    ask_many(num_first, num_first + num_more)
    grown = {pid: (resident(pid) - size) // MEBIBYTE for pid, size in before.items()}
    assert max(grown.values()) < 40, grown
    assert json.dumps(sorted(before)) == json.dumps(sorted(processes(served))), "none was started again"
