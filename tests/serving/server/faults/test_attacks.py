"""What a client sends to hurt others: refused or bounded, without a path, and others are answered meanwhile."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from servers import Served, until

COMPLETION = {"model": "base", "prompt": "turn right", "max_tokens": 4, "seed": 1}
CHAT = {"model": "base", "messages": [{"role": "user", "content": "turn right"}], "max_tokens": 4, "seed": 1}
PATHS = re.compile(r"/(tmp|home|usr|root|proc|work|var)\b|\.py\b|site-packages")
MEBIBYTE = 2**20


def memory(pid: int) -> int:
    """Return how many bytes of memory a process has had at most since it was started."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def head(*lines: str) -> bytes:
    first = ("POST /v1/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    return "\r\n".join((*first, *lines, "", "")).encode()


def status_of(connection: socket.socket) -> int:
    """Return the status of an answer, 0 if the connection was closed without one."""
    try:
        raw = connection.recv(4096)
    except ConnectionError:
        return 0
    assert not PATHS.search(raw.decode()), raw
    return int(raw.split()[1]) if raw else 0


def still_answers(served: Served) -> None:
    status, answer = served.ask("POST", "/v1/completions", COMPLETION)
    assert status == 200, answer
    assert served.metric("verilora_engine_restarts_total") == 0


def send_much(connection: socket.socket, piece: bytes, times: int) -> None:
    """Send a piece again and again, until it is no longer taken."""
    try:
        for _ in range(times):
            connection.sendall(piece)
    except ConnectionError:
        pass


def test_a_body_of_100_megabytes_is_not_kept(served: Served) -> None:
    before = memory(served.process.pid)
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(head("Transfer-Encoding: chunked"))
        send_much(connection, b"100000\r\n" + b" " * MEBIBYTE + b"\r\n", 100)
        assert status_of(connection) in (0, 413)
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(head(f"Content-Length: {100 * MEBIBYTE}"))
        assert status_of(connection) == 413
    assert memory(served.process.pid) - before < 60 * MEBIBYTE
    still_answers(served)


@pytest.mark.slow
def test_a_body_that_comes_slowly_is_given_up(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=1) as connection:
        connection.sendall(head("Content-Length: 1000"))
        status = None
        for _ in range(60):
            connection.sendall(b" ")
            try:
                status = status_of(connection)
                break
            except TimeoutError:
                still_answers(served)
        assert status == 408


@pytest.mark.parametrize("line", ["X-{}: x\r\n", "X: x\r\n", " x\r\n"], ids=["distinct", "repeated", "continued"])
def test_cve_2025_48956_a_hundred_thousand_headers(served: Served, line: str) -> None:
    before = memory(served.process.pid)
    raw = b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + "".join(map(line.format, range(100_000))).encode() + b"\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        send_much(connection, raw, 1)
        assert status_of(connection) in (0, 400, 431)
    assert memory(served.process.pid) - before < 30 * MEBIBYTE
    still_answers(served)


@pytest.mark.parametrize(
    ("path", "change", "param"),
    [
        ("/v1/completions", {"logprobs": 10**9}, "logprobs"),
        ("/v1/completions", {"logprobs": -1}, "logprobs"),
        ("/v1/completions", {"prompt_logprobs": 10**9}, "prompt_logprobs"),
        ("/v1/chat/completions", {"logprobs": True, "top_logprobs": 10**9}, "top_logprobs"),
        ("/v1/chat/completions", {"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ("/v1/completions", {"prompt": "a" * 10**6}, "prompt"),
        ("/v1/completions", {"prompt": ["a" * 10**5] * 10}, "prompt"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "é" * 10**6}]}, "messages"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": ""}] * 10**5}, "messages"),
        ("/v1/completions", {"n": 10**9}, "n"),
        ("/v1/completions", {"max_tokens": 2**70}, "max_tokens"),
        ("/v1/completions", {"stop": ["a" * 10**6]}, "stop"),
        ("/v1/completions", {"logit_bias": {str(token): 1 for token in range(10**5)}}, "logit_bias"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_textgen_7657_what_asks_for_too_much_is_refused(
    served: Served, path: str, change: dict[str, Any], param: str
) -> None:
    body = {**(CHAT if "chat" in path else COMPLETION), **change}
    for stream in (False, True):
        status, answer = served.ask("POST", path, {**body, "stream": stream})
        assert (status, answer["error"]["param"]) == (400, param), answer
        assert len(answer["error"]["message"]) < 1000
        assert not PATHS.search(answer["error"]["message"])
    still_answers(served)


def test_as_many_logprobs_as_may_be_are_bounded(served: Served) -> None:
    before = memory(served.process.pid)
    asked = {**COMPLETION, "n": 64, "logprobs": 20, "max_tokens": 60, "echo": True, "ignore_eos": True}
    status, answer = served.ask("POST", "/v1/completions", asked)
    assert status == 200, answer
    assert len(answer["choices"]) == 64
    assert memory(served.process.pid) - before < 150 * MEBIBYTE
    still_answers(served)


BODIES = {
    "a lone surrogate": b'{"model": "base", "prompt": "\\ud800 turn", "max_tokens": 2}',
    "half a pair": b'{"model": "base", "prompt": "\\ud83d", "max_tokens": 2}',
    "raw surrogate": b'{"model": "base", "prompt": "\xed\xa0\x80", "max_tokens": 2}',
    "a surrogate model": b'{"model": "\\ud800", "prompt": "turn", "max_tokens": 2}',
    "a surrogate stop": b'{"model": "base", "prompt": "turn", "stop": "\\udfff", "max_tokens": 2}',
    "nul": b'{"model": "base", "prompt": "\\u0000", "max_tokens": 2}',
    "not a number": b'{"model": "base", "prompt": "turn", "temperature": NaN, "max_tokens": 2}',
    "infinite": b'{"model": "base", "prompt": "turn", "temperature": 1e999, "max_tokens": 2}',
    "a long number": b'{"model": "base", "prompt": "turn", "max_tokens": ' + b"9" * 100_000 + b"}",
    "deep": b'{"model": "base", "prompt": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
}


@pytest.mark.parametrize("raw", BODIES.values(), ids=BODIES)
def test_odd_json_has_one_meaning_or_is_refused(served: Served, raw: bytes) -> None:
    status, answer = served.ask("POST", "/v1/completions", raw)
    assert status in (200, 400, 404), answer
    if status == 200:
        assert answer["usage"]["completion_tokens"] == 2
    else:
        assert not PATHS.search(answer["error"]["message"])
        assert len(json.dumps(answer)) < 2000
    still_answers(served)


def test_connections_that_say_nothing_keep_nobody_out(served: Served) -> None:
    silent = [socket.create_connection(("127.0.0.1", served.port), timeout=30) for _ in range(300)]
    try:
        for number, connection in enumerate(silent):
            connection.sendall(head("Content-Length: 1000")[: number % 100])
        still_answers(served)
    finally:
        for connection in silent:
            connection.close()
    until(served.is_idle)
