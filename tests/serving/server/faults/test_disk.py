"""Disks that are full, and sources that go: what was registered stays, what was not is told with its reason."""

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rotation import LOAD, reseeded
from servers import Served, serving, until

UNLOAD = "/v1/unload_lora_adapter"
GREEDY = {"prompt": "turn", "temperature": 0, "max_tokens": 8, "ignore_eos": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, adapter_folder: Path) -> Path:
    place = tmp_path_factory.mktemp("place")
    for seed, name in enumerate(("one", "two", "gone")):
        reseeded(adapter_folder, place / "root" / name, seed)
    return place


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Served]:
    options = ["--adapter-root", place / "root", "--state", place / "state", "--max-loras", "1"]
    with serving(place / "log", *options) as served:
        assert served.ask("POST", LOAD, {"lora_name": "kept", "lora_path": "one"})[0] == 200
        yield served


def job_host(served: Served) -> int:
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    name = b"verilora.serving.adapters.ingestion.ingest"
    return next(int(child) for child in children if name in Path(f"/proc/{child}/cmdline").read_bytes())


@contextmanager
def full(pid: int) -> Iterator[None]:
    """Let a process, and those that it starts, write no more than a few bytes into any file."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def answer(served: Served, model: str) -> str:
    status, found = served.ask("POST", "/v1/completions", {**GREEDY, "model": model})
    assert status == 200, found
    text: str = found["choices"][0]["text"]
    return text


def test_a_disk_that_is_full_while_files_are_taken_in(server: Served, place: Path) -> None:
    before = answer(server, "kept")
    stored = {*(place / "state" / "adapters").glob("[0-9a-f]*")}
    with full(job_host(server)):
        for name, replace in (("new", False), ("kept", True)):
            body = {"lora_name": name, "lora_path": "two", "load_inplace": replace}
            status, error = server.ask("POST", LOAD, body)
            assert status == 503, error
            assert error["error"]["message"] == "it failed: File too large"
        assert answer(server, "kept") == before
    told = {one["name"]: one for one in server.ask("GET", "/v1/adapters")[1]["data"]}
    assert (told["new"]["state"], told["new"]["last_error"]) == ("failed", "it failed: File too large")
    assert (told["kept"]["state"], told["kept"]["last_error"]) == ("active", "it failed: File too large")
    assert {*(place / "state" / "adapters").glob("[0-9a-f]*")} == stored
    assert [*(place / "state").rglob("unfinished/*")] == []
    assert server.ask("POST", LOAD, {"lora_name": "new", "lora_path": "two"})[0] == 200
    assert answer(server, "new") != before


def test_a_disk_that_is_full_for_the_database(server: Served) -> None:
    before = answer(server, "kept")
    with full(server.process.pid):
        for path, body in (
            (LOAD, {"lora_name": "kept", "lora_path": "gone", "load_inplace": True}),
            (LOAD, {"lora_name": "later", "lora_path": "gone"}),
            (UNLOAD, {"lora_name": "kept"}),
        ):
            status, error = server.ask("POST", path, body)
            assert status == 503, error
            assert error["error"]["message"].startswith("the database could not be used: ")
        assert answer(server, "kept") == before
    assert server.ask("GET", "/v1/adapters/kept")[1]["state"] == "active"
    assert server.ask("POST", LOAD, {"lora_name": "later", "lora_path": "gone", "load_inplace": True})[0] == 200


def test_vllm_5105_a_source_that_goes_is_read_again_from_the_store(server: Served, place: Path) -> None:
    body = {"lora_name": "gone", "lora_path": "gone", "load_inplace": True}
    assert server.ask("POST", LOAD, body)[0] == 200
    before = answer(server, "gone")
    shutil.rmtree(place / "root" / "gone")
    # The one place for adapters is another's meanwhile.
    loads = server.metric("verilora_adapter_loads_total")
    answer(server, "kept")
    assert answer(server, "gone") == before
    until(lambda: server.metric("verilora_adapter_loads_total") == loads + 2)
