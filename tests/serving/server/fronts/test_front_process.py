"""A front that is killed or stands still is started again; all of them end with the first, drained or at once."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from http.client import HTTPException
from pathlib import Path

import pytest
from front_processes import Pinned, other_pid, pinned

from verilora.serving.server.server_process import bind

from servers import Served, events, serving, until

LONG = {"model": "base", "prompt": "turn right", "max_tokens": 900, "n": 8, "ignore_eos": True, "stream": True}
LOAD = "/v1/load_lora_adapter"
SHORT = {"model": "base", "prompt": "turn right", "max_tokens": 3}


def restarts(served: Served) -> float:
    return served.metric("verilora_front_restarts_total")


def is_ready(front: Pinned) -> bool:
    return front.ask("GET", "/ready")[0] == 200


def all_answer(served: Served, model: str) -> None:
    with pinned(served) as fronts:
        for front in fronts:
            assert front.ask("POST", "/v1/completions", {**SHORT, "model": model})[0] == 200


def test_what_a_killed_front_was_answering_is_cancelled_and_others_go_on(two: Served) -> None:
    before = restarts(two)
    with pinned(two) as (first, other):
        assert other.ask("POST", LOAD, {"lora_name": "kept", "lora_path": "a"})[0] == 200
        goes_on = first.open("POST", "/v1/completions", {**LONG, "n": 1})
        cut = other.open("POST", "/v1/completions", {**LONG, "n": 32})
        assert goes_on.read(1) == cut.read(1) == b"d"
        os.kill(other_pid(two), signal.SIGKILL)
        with pytest.raises((HTTPException, ConnectionError)):
            cut.read()
        # Those that wait for pages or places get them; what the first front answers comes to its end.
        pieces = events(b"d" + goes_on.read())
        assert [piece["choices"][0]["finish_reason"] for piece in pieces].count("length") == 1
    until(two.is_idle)
    other_pid(two)
    assert restarts(two) == before + 1
    all_answer(two, "kept")
    assert two.ask("POST", "/v1/unload_lora_adapter", {"lora_name": "kept"})[0] == 200


@pytest.mark.slow
def test_a_front_that_stands_still_keeps_no_old_adapter(two: Served) -> None:
    """It is ended before the answer, which says that all serve the new one."""
    before, other = restarts(two), other_pid(two)
    os.kill(other, signal.SIGSTOP)
    assert two.ask("POST", LOAD, {"lora_name": "fresh", "lora_path": "a"})[0] == 200
    until(lambda: restarts(two) == before + 1)
    all_answer(two, "fresh")
    assert two.ask("POST", "/v1/unload_lora_adapter", {"lora_name": "fresh"})[0] == 200


@pytest.mark.slow
def test_all_speak_to_the_next_engine_after_one_was_killed(two: Served) -> None:
    before = two.metric("verilora_engine_restarts_total")
    with pinned(two) as (_, other):
        running = other.open("POST", "/v1/completions", {**LONG, "n": 32})
        running.read(1)
        os.kill(two.engine_pid(), signal.SIGKILL)
        last = running.read().decode().strip().split("\n\n")[-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "engine_unavailable"
    until(lambda: two.metric("verilora_engine_ready") == 1 and two.metric("verilora_engine_restarts_total") > before)
    with pinned(two) as fronts:
        for front in fronts:
            until(partial(is_ready, front))
            assert front.ask("POST", "/v1/completions", SHORT)[0] == 200


@pytest.mark.slow
def test_what_runs_in_any_front_may_end_after_sigterm(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--fronts", "2") as served:
        with pinned(served) as fronts:
            running = [front.open("POST", "/v1/completions", LONG) for front in fronts]
            assert [one.read(1) for one in running] == [b"d", b"d"]
            other = other_pid(served)
            # As when all processes of a group are told.
            os.kill(other, signal.SIGTERM)
            served.process.send_signal(signal.SIGTERM)
            until(lambda: served.ask("GET", "/ready")[0] == 503)
            for one in running:
                pieces = events(b"d" + one.read())
                assert [piece["choices"][0]["finish_reason"] for piece in pieces].count("length") == 8
        assert served.process.wait(20) == 0
        assert not Path(f"/proc/{other}").exists()


@pytest.mark.slow
def test_the_others_end_with_the_first_however_it_ends(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--fronts", "3") as served:
        until(lambda: served.metric("verilora_fronts") == 3)
        children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
        served.process.kill()
        served.process.wait()
        until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
        with bind("127.0.0.1", served.port):
            pass


def test_another_front_loads_no_torch() -> None:
    code = (
        "import sys, verilora.serving.server.fronts.front_process;"
        "print(sorted({'torch', 'transformers', 'peft', 'xgrammar'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"
