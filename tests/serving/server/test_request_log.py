"""What every request gets: an id, a line, and an answer even to our own faults."""

import asyncio
import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import APIRouter

from verilora.serving.server.api import read_body
from verilora.serving.server.app import create_app
from verilora.serving.server.departure import ClientGone
from verilora.serving.server.front import Front
from verilora.serving.server.settings import ServerSettings
from verilora.serving.wire.engine_host import EngineState
from verilora.serving.wire.messages import Stats

router = APIRouter()


@router.get("/fault")
async def fault() -> None:
    raise RuntimeError("a secret path")


@router.get("/gone")
async def gone() -> None:
    raise ClientGone


def asked(path: str, method: str = "GET", is_silent: bool = False, **headers: str) -> list[dict[str, Any]]:
    """Return what an app with an engine that never was ready sends."""
    engine: Any = SimpleNamespace(state=EngineState.STARTING, card=None, link=None, stats=Stats(), num_restarts=0)
    catalogue: Any = SimpleNamespace(find=lambda name: None, all=list)
    front = Front(ServerSettings(served_name="base"), engine, catalogue)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if is_silent:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(create_app(front, [router])(scope, receive, send))
    return sent


def test_a_fault_of_ours_is_answered_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    start, body = asked("/fault")
    assert start["status"] == 500
    assert any(name == b"x-request-id" for name, _ in start["headers"])
    assert json.loads(body["body"])["error"]["code"] == "internal_error"
    assert b"secret" not in body["body"]
    assert "a secret path" in caplog.text


def test_a_client_that_is_gone_gets_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert asked("/gone") == []
    assert caplog.records[-1].fields["status"] == 499  # type: ignore[attr-defined]


def test_before_the_engine_is_ready_all_that_needs_it_is_503() -> None:
    for path in ("/ready", "/v1/models"):
        start, body = asked(path)
        assert start["status"] == 503
        assert json.loads(body["body"])["error"]["code"] == "engine_unavailable"
        assert (b"retry-after", b"1") in start["headers"]
    assert asked("/health")[0]["status"] == 200


def test_large_headers_are_refused() -> None:
    assert asked("/health", x="y" * 70_000)[0]["status"] == 431


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_body, "BODY_SECONDS", 0.01)
    start, body = asked("/tokenize", method="POST", is_silent=True, **{"content-type": "application/json"})
    assert (start["status"], json.loads(body["body"])["error"]["code"]) == (408, "body_timeout")
