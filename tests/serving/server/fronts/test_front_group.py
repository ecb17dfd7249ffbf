"""Two fronts are one server: what is done through one is so in the other at once."""

import json
import re
from collections.abc import Iterator

import pytest
from front_processes import Pinned, pinned

from servers import Served, events, until

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
GREEDY = {"model": "base", "prompt": "1. observe", "temperature": 0, "max_tokens": 12, "ignore_eos": True}
LONG = {**GREEDY, "max_tokens": 900, "n": 8, "stream": True}


@pytest.fixture
def fronts(two: Served) -> Iterator[tuple[Pinned, Pinned]]:
    with pinned(two) as both:
        yield both


def answer(front: Pinned, model: str) -> str:
    status, found = front.ask("POST", "/v1/completions", {**GREEDY, "model": model})
    assert status == 200, found
    text: str = found["choices"][0]["text"]
    return text


def status(front: Pinned, model: str) -> int:
    return front.ask("POST", "/v1/completions", {**GREEDY, "model": model})[0]


@pytest.mark.parametrize("asked", [0, 1], ids=["first", "other"])
def test_what_one_loads_updates_and_unloads_the_other_serves_at_once(
    two: Served, fronts: tuple[Pinned, Pinned], asked: int
) -> None:
    front, neighbour = fronts[asked], fronts[1 - asked]
    base = answer(front, "base")
    for _ in range(3):
        assert status(neighbour, "fleet") == 404
        assert front.ask("POST", LOAD, {"lora_name": "fleet", "lora_path": "a"})[0] == 200
        a = answer(neighbour, "fleet")
        assert front.ask("POST", LOAD, {"lora_name": "fleet", "lora_path": "b", "load_inplace": True})[0] == 200
        b = answer(neighbour, "fleet")
        assert len({base, a, b}) == 3
        assert (answer(front, "fleet"), answer(neighbour, "base")) == (b, base)
        listed = [one.ask("GET", path)[1] for path in ("/v1/models", "/v1/adapters") for one in fronts]
        assert listed[0] == listed[1]
        assert listed[2] == listed[3]
        assert "fleet" in {one["id"] for one in listed[0]["data"]}
        assert front.ask("POST", UNLOAD, {"lora_name": "fleet"})[0] == 200
        assert status(neighbour, "fleet") == 404


def test_what_is_refused_is_refused_in_the_same_words(fronts: tuple[Pinned, Pinned]) -> None:
    asked = [
        ("POST", LOAD, {"lora_name": "base", "lora_path": "a"}),
        ("POST", LOAD, {"lora_name": "x", "lora_path": "nowhere"}),
        ("POST", LOAD, {"lora_name": "x", "lora_path": "../found/c"}),
        ("POST", LOAD, b'{"lora_name": "x", "lora_path": "\\ud800"}'),
        ("POST", UNLOAD, {"lora_name": "x"}),
        ("POST", UNLOAD, b'{"lora_name": "\\ud800"}'),
        ("POST", "/v1/completions", b'{"model": "\\ud800", "prompt": "x"}'),
        ("GET", "/v1/adapters/nothing", None),
    ]
    for method, path, body in asked:
        first, other = (front.ask(method, path, body) for front in fronts)
        assert first == other
        assert first[0] in (400, 404), first


def test_either_finds_adapters_that_are_not_known_yet(fronts: tuple[Pinned, Pinned]) -> None:
    first, other = fronts
    c = answer(other, "c")
    assert answer(first, "c") == c
    d = answer(first, "d")
    assert answer(other, "d") == d != c
    for front, name in ((first, "c"), (other, "d")):
        assert front.ask("POST", UNLOAD, {"lora_name": name})[0] == 200


def test_streams_are_whole_and_whoever_leaves_frees_the_engine(two: Served, fronts: tuple[Pinned, Pinned]) -> None:
    short = {**GREEDY, "stream": True}
    wholes = [events(front.open("POST", "/v1/completions", short).read()) for front in fronts]
    texts = ["".join(event["choices"][0]["text"] for event in whole) for whole in wholes]
    assert texts == [answer(fronts[0], "base")] * 2
    for front in fronts:
        running = front.open("POST", "/v1/completions", LONG)
        running.read(1)
        running.close()
        front.close()
    until(two.is_idle)


def test_grammars_are_followed_by_either(fronts: tuple[Pinned, Pinned]) -> None:
    asked = {**GREEDY, "ignore_eos": False, "max_tokens": 30, "structured_outputs": {"json": {"const": "turn"}}}
    for front in fronts:
        status, found = front.ask("POST", "/v1/completions", asked)
        assert (status, json.loads(found["choices"][0]["text"])) == (200, "turn")


def test_either_tells_the_figures_of_both(fronts: tuple[Pinned, Pinned]) -> None:
    pattern = r'^verilora_requests_total\{front="(\d)",route="/health",status="200"\}'
    for front in fronts:
        status, page = front.ask("GET", "/metrics")
        assert status == 200
        assert re.findall(pattern, page, re.MULTILINE) == ["0", "1"]
        # Each name has its head once, and the engine's figures are there once.
        heads = re.findall(r"^# TYPE (\S+)", page, re.MULTILINE)
        assert len(heads) == len({*heads})
        assert len(re.findall(r"^verilora_output_tokens_total ", page, re.MULTILINE)) == 1
