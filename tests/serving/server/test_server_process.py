"""How a server ends: nothing more is taken, streams come to their end, and the exit code is 0."""

import asyncio
import json
import os
import signal
import socket
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from verilora.serving.server.server_process import BACKLOG, DrainingServer, bind
from verilora.serving.server.settings import ServerSettings
from verilora.specs.files.errors import InputError

from servers import events, serving, until

ASKED = {"model": "base", "prompt": "turn right", "max_tokens": 400, "ignore_eos": True, "stream": True}


def test_what_runs_may_end_after_sigterm_and_nothing_begins(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as served:
        running = served.open("POST", "/v1/completions", {**ASKED, "n": 8})
        running.read(1)
        served.process.send_signal(signal.SIGTERM)
        until(lambda: served.ask("GET", "/ready")[0] == 503)
        status, answer = served.ask("POST", "/v1/completions", {**ASKED, "stream": False})
        assert (status, answer["error"]["code"]) == (503, "draining")
        pieces = events(b"d" + running.read())
        assert [piece["choices"][0]["finish_reason"] for piece in pieces].count("length") == 8
        assert served.process.wait(20) == 0


def test_what_runs_for_longer_ends_with_an_error(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--drain", "0.2") as served:
        running = served.open("POST", "/v1/completions", {**ASKED, "n": 64, "max_tokens": 1000})
        running.read(1)
        served.process.send_signal(signal.SIGTERM)
        last = running.read().decode().strip().split("\n\n")[-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "draining"
        assert served.process.wait(20) == 0


def test_without_keys_only_this_machine_is_served() -> None:
    with pytest.raises(InputError, match=r"--host: got '0\.0\.0\.0', expected one of 127\.0\.0\.1"):
        bind("0.0.0.0", 0)


def test_a_port_in_use_is_named() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port: got {port}, which cannot be used: .*in use"):
            bind("127.0.0.1", port)


def test_the_engine_ends_with_the_server_however_it_ends(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as served:
        engine = served.engine_pid()
        served.process.kill()
        until(lambda: not Path(f"/proc/{engine}").exists())


@pytest.mark.slow
def test_an_engine_that_is_killed_ends_its_streams_with_an_error_and_is_started_again(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as served:
        running = served.open("POST", "/v1/completions", {**ASKED, "n": 64, "max_tokens": 1000})
        running.read(1)
        os.kill(served.engine_pid(), signal.SIGKILL)
        last = running.read().decode().strip().split("\n\n")[-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "engine_unavailable"
        for path, body in (("/ready", None), ("/v1/completions", {**ASKED, "stream": False})):
            status, answer = served.ask("POST" if body else "GET", path, body)
            assert (status, answer["error"]["code"]) == (503, "engine_unavailable")
        assert served.ask("GET", "/health")[0] == 200
        until(lambda: served.ask("GET", "/ready")[0] == 200)
        assert served.ask("POST", "/v1/completions", {**ASKED, "stream": False, "max_tokens": 3})[0] == 200
        assert served.metric("verilora_engine_restarts_total") == 1


@pytest.mark.parametrize(("num_fronts", "at_a_time"), [(1, BACKLOG), (2, 1)])
def test_a_front_among_several_leaves_connections_to_others_and_the_queue_stays_long(
    num_fronts: int, at_a_time: int
) -> None:
    """asyncio accepts as many at a time as its backlog says, and makes the socket's queue as long."""

    async def queue_len() -> int:
        front: Any = SimpleNamespace(settings=ServerSettings(served_name="base", num_fronts=num_fronts))
        server = DrainingServer(FastAPI(), front)
        assert server.config.backlog == at_a_time
        accepting = asyncio.Event()
        server.when_accepting = accepting.set
        with bind("127.0.0.1", 0) as listener:
            running = asyncio.create_task(server._serve([listener]))
            await accepting.wait()
            # Of a socket that listens, this field of the kernel's tells how many may wait.
            (found,) = struct.unpack_from("I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64), 28)
            server.should_exit = True
            await running
        return int(found)

    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    assert asyncio.run(queue_len()) == min(BACKLOG, most)


def test_small_writes_go_at_once() -> None:
    """Else the events behind the headers wait until the client has acknowledged those, which it puts off for 40 ms."""

    async def connect() -> int:
        listener = bind("127.0.0.1", 0)
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(note, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            writer.close()
            return await accepted

    assert asyncio.run(connect())
