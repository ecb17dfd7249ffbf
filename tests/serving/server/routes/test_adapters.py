"""Adapters at run time, over HTTP, of a real server that keeps them in a state folder."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from verilora.serving.engine.generator import Generator
from verilora.serving.requests.request import Request
from verilora.serving.requests.sampling_params import SamplingParams

from damaged_adapters import CONFIG, WEIGHTS
from served_adapters import variant
from servers import Served, serving, until

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
PROMPT = "1. observe"
GREEDY = {"prompt": PROMPT, "temperature": 0, "max_tokens": 12, "ignore_eos": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, adapter_folder: Path) -> Path:
    """Return a folder with a root, a resolver's folder and what lies outside of both."""
    place = tmp_path_factory.mktemp("place")
    for byte, name in enumerate(("root/a", "root/b", "found/c", "outside/secret")):
        # So far apart that they answer differently.
        variant(adapter_folder, place / name, 0)
        config = json.loads((place / name / CONFIG).read_text())
        (place / name / CONFIG).write_text(json.dumps({**config, "lora_alpha": 8 + 40 * byte}))
    return place


def arguments(place: Path) -> list[str | Path]:
    return ["--adapter-root", place / "root", "--adapter-resolver", place / "found", "--state", place / "state"]


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Served]:
    with serving(place / "log", *arguments(place)) as served:
        yield served


def answer(served: Served, model: str) -> str:
    status, found = served.ask("POST", "/v1/completions", {**GREEDY, "model": model})
    assert status == 200, found
    text: str = found["choices"][0]["text"]
    return text


def expected(folder: Path) -> str:
    generator = Generator(adapter=folder)
    ids = tuple(generator.chat.tokenizer(PROMPT, add_special_tokens=False)["input_ids"])
    params = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True, banned_ids=generator.chat.banned_ids)
    (output,) = generator.engine.generate([Request(prompt=ids, params=params, adapter=str(folder))])[0]
    text: str = generator.chat.tokenizer.decode(output.token_ids, skip_special_tokens=True)
    return text


def test_an_adapter_is_loaded_updated_and_unloaded(server: Served, place: Path) -> None:
    load = {"lora_name": "team/fleet", "lora_path": str(place / "root" / "a")}
    assert server.ask("POST", LOAD, load) == (200, "Success: LoRA adapter 'team/fleet' added successfully.")
    before = answer(server, "team/fleet")
    assert before == expected(place / "root" / "a")
    status, error = server.ask("POST", LOAD, load)
    assert (status, error["error"]["code"]) == (400, "adapter_exists")
    assert "already been loaded" in error["error"]["message"]
    # The same prompt: nothing of the old version is found again.
    assert server.ask("POST", LOAD, {**load, "lora_path": "b", "load_inplace": True})[0] == 200
    after = answer(server, "team/fleet")
    assert after == expected(place / "root" / "b") != before
    status, told = server.ask("GET", "/v1/adapters/team/fleet")
    assert (status, told["version"], told["state"], told["rank"], told["last_error"]) == (200, 2, "active", 4, None)
    assert told["certificate"] is None
    unload = {"lora_name": "team/fleet", "lora_int_id": 1}
    assert server.ask("POST", UNLOAD, unload) == (200, "Success: LoRA adapter 'team/fleet' removed successfully.")
    assert server.ask("POST", UNLOAD, unload)[0] == 404
    assert server.ask("GET", "/v1/adapters/team/fleet")[0] == 404
    assert server.ask("POST", "/v1/completions", {**GREEDY, "model": "team/fleet"})[0] == 404


REFUSED: dict[str, tuple[str, dict[str, object], int, str | None]] = {
    "no path": (LOAD, {"lora_name": "x"}, 400, "lora_path"),
    "no name": (LOAD, {"lora_path": "a"}, 400, "lora_name"),
    "an unknown field": (LOAD, {"lora_name": "x", "lora_path": "a", "trust": True}, 400, "trust"),
    "a number": (LOAD, {"lora_name": 1, "lora_path": "a"}, 400, "lora_name"),
    "a bad name": (LOAD, {"lora_name": "../x", "lora_path": "a"}, 400, "lora_name"),
    "the base's name": (LOAD, {"lora_name": "base", "lora_path": "a"}, 400, "lora_name"),
    "nothing there": (LOAD, {"lora_name": "x", "lora_path": "nothing"}, 404, None),
    "upwards": (LOAD, {"lora_name": "x", "lora_path": "../outside/secret"}, 400, "lora_path"),
    "elsewhere": (LOAD, {"lora_name": "x", "lora_path": "/etc"}, 400, "lora_path"),
    "an address": (LOAD, {"lora_name": "x", "lora_path": "https://example.org/a"}, 404, None),
    "unload nothing": (UNLOAD, {"lora_name": "x"}, 404, None),
    "unload no name": (UNLOAD, {}, 400, "lora_name"),
}


@pytest.mark.parametrize(("path", "body", "status", "param"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_refused_without_a_path(
    server: Served, place: Path, path: str, body: dict[str, object], status: int, param: str | None
) -> None:
    got, error = server.ask("POST", path, body)
    assert (got, error["error"]["param"]) == (status, param), error
    assert str(place) not in json.dumps(error)


@pytest.mark.parametrize("name", [b'"\\ud800"', b'"\xed\xa0\x80"', b'"a\\u0000"', b'"\\u202ea"'])
def test_lone_surrogates_and_other_odd_names(server: Served, name: bytes) -> None:
    for body in (b'{"lora_name": %s, "lora_path": "a"}' % name, b'{"lora_path": %s, "lora_name": "a"}' % name):
        status, error = server.ask("POST", LOAD, body)
        assert status in (400, 404), error


def test_vllm_11702_a_bad_adapter_while_others_are_answered(server: Served, place: Path) -> None:
    variant(place / "root" / "a", place / "root" / "bad", 0)
    (place / "root" / "bad" / WEIGHTS).write_bytes(b"\x80\x04pickle")
    assert server.ask("POST", LOAD, {"lora_name": "good", "lora_path": "a"})[0] == 200
    alone = answer(server, "good")
    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(answer, server, "good") for _ in range(48)]
        loads = [pool.submit(server.ask, "POST", LOAD, {"lora_name": "bad", "lora_path": "bad"}) for _ in range(8)]
        assert {one.result() for one in answers} == {alone}
        statuses = {one.result()[0] for one in loads}
    assert statuses == {400}
    status, told = server.ask("GET", "/v1/adapters/bad")
    assert (status, told["state"], told["digest"]) == (200, "failed", "")
    assert told["last_error"].startswith(f"{WEIGHTS}: cannot be read")
    assert server.ask("POST", "/v1/completions", {**GREEDY, "model": "bad"})[0] == 404
    listed = server.ask("GET", "/v1/adapters")[1]["data"]
    assert {one["name"]: one["state"] for one in listed}.items() >= {"good": "active", "bad": "failed"}.items()
    assert "bad" not in [one["id"] for one in server.ask("GET", "/v1/models")[1]["data"]]


def test_vllm_41482_an_adapter_is_read_once_however_often_it_is_asked_for(server: Served) -> None:
    assert server.ask("POST", LOAD, {"lora_name": "often", "lora_path": "a", "load_inplace": True})[0] == 200
    before = server.metric("verilora_adapter_reads_total")
    with ThreadPoolExecutor(8) as pool:
        assert len({*pool.map(lambda _: answer(server, "often"), range(16))}) == 1
    assert server.metric("verilora_adapter_reads_total") == before


def test_an_unknown_model_is_looked_for_in_the_resolvers_folder(server: Served, place: Path) -> None:
    assert server.ask("POST", "/v1/completions", {**GREEDY, "model": "nothing"})[0] == 404
    with ThreadPoolExecutor(8) as pool:
        found = {*pool.map(lambda _: answer(server, "c"), range(8))}
    assert found == {expected(place / "found" / "c")}
    assert server.ask("GET", "/v1/adapters/c")[1]["version"] == 1
    for model in ("../outside/secret", "/etc", "c/../c", ".", ""):
        assert server.ask("POST", "/v1/completions", {**GREEDY, "model": model})[0] == 404


def test_the_document_tells_these_routes(server: Served) -> None:
    document = server.ask("GET", "/openapi.json")[1]
    assert {LOAD, UNLOAD, "/v1/adapters", "/v1/adapters/{name}"} <= {*document["paths"]}
    schemas = document["components"]["schemas"]
    assert {"lora_name", "lora_path", "load_inplace"} == {*schemas["LoadAdapterBody"]["properties"]}
    assert "certificate" in schemas["AdapterDetail"]["properties"]


def test_vllm_5105_the_engine_dies_after_the_source_has_gone(server: Served, place: Path) -> None:
    variant(place / "root" / "a", place / "root" / "gone", 0)
    assert server.ask("POST", LOAD, {"lora_name": "gone", "lora_path": "gone"})[0] == 200
    before = answer(server, "gone")
    shutil.rmtree(place / "root" / "gone")
    os.kill(server.engine_pid(), signal.SIGKILL)
    until(lambda: server.ask("GET", "/ready")[0] == 503)
    until(lambda: server.ask("GET", "/ready")[0] == 200)
    assert answer(server, "gone") == before


def test_aibrix_236_what_is_loaded_outlives_a_server_that_is_killed(tmp_path: Path, adapter_folder: Path) -> None:
    for name in ("root/a", "found"):
        shutil.copytree(adapter_folder, tmp_path / name)
    (tmp_path / "root" / "a" / "certificate.json").write_text('{"format": 2, "signed": "nobody"}')
    with serving(tmp_path / "log", *arguments(tmp_path)) as served:
        assert served.ask("POST", LOAD, {"lora_name": "fleet", "lora_path": "a"})[0] == 200
        before = answer(served, "fleet")
        served.process.kill()
        served.process.wait()
    shutil.rmtree(tmp_path / "root" / "a")
    with serving(tmp_path / "log", *arguments(tmp_path)) as served:
        told: dict[str, Any] = served.ask("GET", "/v1/adapters/fleet")[1]
        assert (told["state"], told["certificate"]) == ("active", {"format": 2, "signed": "nobody"})
        assert served.metric("verilora_adapter_reads_total") == 0, "it is read when it is asked for"
        assert answer(served, "fleet") == before
