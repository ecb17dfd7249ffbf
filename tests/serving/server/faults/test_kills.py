"""Processes that are killed, stopped or asked to end at bad moments: nothing is lost, and nothing is half done."""

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any

import pytest

from damaged_adapters import WEIGHTS
from rotation import LOAD, Alone, Rotation, reseeded
from servers import Served, events, serving, until

LONG = {"model": "base", "prompt": "turn right", "max_tokens": 900, "ignore_eos": True}
SILENT_SECONDS = 1.5


def children(pid: int, name: bytes = b"") -> list[int]:
    """Return the processes that a process has started, whose command line has a name in it."""
    try:
        found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return [child for child in found if name in Path(f"/proc/{child}/cmdline").read_bytes()]
    except FileNotFoundError:
        return []


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def job_host(served: Served) -> int:
    (host,) = children(served.process.pid, b"verilora.serving.adapters.ingestion.ingest")
    return host


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, adapter_folder: Path) -> Path:
    place = tmp_path_factory.mktemp("place")
    reseeded(adapter_folder, place / "root" / "good", 0)
    reseeded(adapter_folder, place / "root" / "large", 1)
    with (place / "root" / "large" / WEIGHTS).open("r+b") as file:
        # Long enough for a kill to come before its end.
        file.truncate(2**29)
    return place


def options(place: Path) -> list[str | Path]:
    return ["--adapter-root", place / "root", "--state", place / "state"]


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Served]:
    with serving(place / "log", *options(place)) as served:
        yield served


@pytest.mark.parametrize(
    ("victims", "reason"),
    [
        (lambda served: children(job_host(served)), "its process ended with SIGKILL"),
        (lambda served: [job_host(served)], "the process that runs jobs has ended"),
    ],
    ids=["worker", "host of workers"],
)
def test_a_worker_is_killed_while_it_takes_an_adapter_in(
    server: Served, place: Path, victims: Callable[[Served], list[int]], reason: str
) -> None:
    name = reason.split()[-1]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.ask, "POST", LOAD, {"lora_name": name, "lora_path": "large"})
        until(lambda: bool(children(job_host(server))))
        for victim in victims(server):
            os.kill(victim, signal.SIGKILL)
        status, error = asked.result()
    assert status == 503, error
    assert reason in error["error"]["message"]
    told = server.ask("GET", f"/v1/adapters/{name}")[1]
    assert (told["state"], told["digest"]) == ("failed", "")
    assert reason in told["last_error"]
    until(lambda: not [*(place / "state").rglob("unfinished/*")])
    # The next is taken in as if nothing had been.
    body = {"lora_name": "after", "lora_path": "good", "load_inplace": True}
    assert server.ask("POST", LOAD, body)[0] == 200
    assert server.metric("verilora_engine_restarts_total") == 0


def test_an_engine_that_stands_still_for_a_moment_loses_nothing(server: Served) -> None:
    expected = server.ask("POST", "/v1/completions", {**LONG, "temperature": 0})[1]["choices"][0]["text"]
    running = server.open("POST", "/v1/completions", {**LONG, "temperature": 0, "stream": True})
    running.read(1)
    engine = server.engine_pid()
    os.kill(engine, signal.SIGSTOP)
    threading.Event().wait(SILENT_SECONDS)
    assert server.ask("GET", "/health")[0] == 200
    os.kill(engine, signal.SIGCONT)
    assert text_of(b"d" + running.read()) == expected
    assert server.engine_pid() == engine


def text_of(raw: bytes) -> str:
    return "".join(chunk["choices"][0]["text"] for chunk in events(raw))


@pytest.mark.slow
def test_an_engine_that_stands_still_for_good_is_replaced(server: Served) -> None:
    running = server.open("POST", "/v1/completions", {**LONG, "n": 16, "stream": True})
    running.read(1)
    engine = server.engine_pid()
    os.kill(engine, signal.SIGSTOP)
    assert b'"code":"engine_unavailable"' in running.read()
    until(lambda: server.ask("GET", "/ready")[0] == 200)
    assert server.engine_pid() != engine
    assert is_gone(engine)
    assert server.ask("POST", "/v1/completions", {**LONG, "max_tokens": 3})[0] == 200


@pytest.mark.slow
def test_a_front_that_is_killed_under_load_loses_no_registration(
    tmp_path: Path, adapter_folder: Path, place: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    started = ["--adapter-root", root, "--state", tmp_path / "state"]
    with serving(tmp_path / "log", *started) as served:
        rotation = Rotation(served, adapter_folder, root)
        for number in range(3):
            rotation.update(f"adapter-{number}")
        rotation.update("adapter-0")
        shutil.copytree(place / "root" / "large", root / "large")
        kept = {name: versions[-1].folder for name, versions in rotation.versions.items()}
        with ThreadPoolExecutor(17) as pool:
            streams = [pool.submit(broken_stream, served, name) for name in [*kept, "base"] * 4]
            half = pool.submit(broken, served, LOAD, {"lora_name": "half", "lora_path": "large"})
            until(lambda: bool(children(job_host(served))) and served.metric("verilora_requests_running") > 8)
            engine, host = served.engine_pid(), job_host(served)
            left = {*sockets_of(served)}
            served.process.kill()
            served.process.wait()
            for one in (*streams, half):
                one.result()
        until(lambda: is_gone(engine) and is_gone(host))
    assert len(left) == 1
    shutil.rmtree(root)
    root.mkdir()
    with serving(tmp_path / "log", *started) as served:
        assert not any(folder.exists() for folder in left), "what it left in the folder for temporary files goes, too"
        alone, again = Alone(), Rotation(served, adapter_folder, root)
        told: list[dict[str, Any]] = served.ask("GET", "/v1/adapters")[1]["data"]
        assert {one["name"]: one["state"] for one in told if one["name"] != "half"} == dict.fromkeys(kept, "active")
        assert [one["state"] for one in told if one["name"] == "half"] in ([], ["failed"])
        assert [*(tmp_path / "state").rglob("unfinished/*")] == []
        copies = place_of_copies(tmp_path, kept, adapter_folder)
        for name in kept:
            assert again.ask(name).text == alone.answer(copies[name])


def place_of_copies(tmp_path: Path, kept: dict[str, Path], adapter: Path) -> dict[str, Path]:
    """Return the contents that names had, made again: the sources are gone."""
    return {
        name: reseeded(adapter, tmp_path / "again" / name, int(folder.name.rpartition("-")[2]))
        for name, folder in kept.items()
    }


def sockets_of(served: Served) -> Iterator[Path]:
    """Yield the folders of temporary files that belong to a server."""
    for folder in Path(tempfile.gettempdir()).glob("verilora-*"):
        if str(served.process.pid) in locks_of(folder):
            yield folder


def locks_of(folder: Path) -> list[str]:
    """Return the processes that hold the lock of a folder."""
    try:
        inode = (folder / ".lock").stat().st_ino
    except FileNotFoundError:
        return []
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return [row[4] for row in rows if row[5].rpartition(":")[2] == str(inode)]


def broken_stream(served: Served, model: str) -> None:
    broken(served, "/v1/completions", {**LONG, "model": model, "stream": True})


def broken(served: Served, path: str, body: dict[str, object]) -> None:
    """Ask for what never comes to its end."""
    with suppress(OSError, HTTPException):
        assert b"[DONE]" not in served.open("POST", path, body).read()


def cut_off(response: HTTPResponse) -> bytes:
    """Return what came before a stream was cut off."""
    try:
        return response.read()
    except IncompleteRead as error:
        return error.partial


def test_a_second_sigterm_does_not_wait(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--drain", "3600") as served:
        engine = served.engine_pid()
        with ThreadPoolExecutor(1) as pool:
            body = {**LONG, "n": 64, "stream": True}
            running = served.open("POST", "/v1/completions", body)
            running.read(1)
            asked = pool.submit(cut_off, running)
            served.process.send_signal(signal.SIGTERM)
            until(lambda: served.ask("GET", "/ready")[0] == 503)
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(30) == 0
            assert b"[DONE]" not in asked.result()
        until(lambda: is_gone(engine))
