import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from verilora.serving.commands.adapters_command import list_adapters, load_adapter, unload_adapter
from verilora.specs.files.errors import InputError

ADAPTER = {
    "name": "fleet",
    "version": 3,
    "state": "active",
    "rank": 8,
    "bytes": 2_500_000,
    "digest": "a" * 64,
    "has_certificate": True,
    "last_error": "[red]\x1b[31m got 1, expected 2",
}


class Server(BaseHTTPRequestHandler):
    """Answers what it is told to, and remembers what it is asked."""

    asked: ClassVar[list[tuple[str, str]]] = []
    answer: ClassVar[tuple[int, str]] = (200, "")

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.asked.append((self.path, self.rfile.read(length).decode()))
        self.send_response(self.answer[0])
        self.end_headers()
        self.wfile.write(self.answer[1].encode())

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    Server.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Server) as listening:
        thread = Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize("replace", [False, True])
def test_loading_names_a_folder_that_the_server_can_find(
    server: str, replace: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Server.answer = (200, "Success: it is served\x1b[31m")
    assert load_adapter(f"{server}/", "fleet", Path("here"), replace=replace) == 0
    ((path, body),) = Server.asked
    assert path == "/v1/load_lora_adapter"
    assert json.loads(body) == {"lora_name": "fleet", "lora_path": f"{tmp_path}/here", "load_inplace": replace}
    assert capsys.readouterr().out == "Success: it is served\\x1b[31m\n"


def test_unloading(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    Server.answer = (200, "Success: gone")
    assert unload_adapter(server, "fleet") == 0
    assert Server.asked == [("/v1/unload_lora_adapter", '{"lora_name": "fleet"}')]


def test_a_list_is_a_table_or_json(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    Server.answer = (200, json.dumps({"data": [ADAPTER]}))
    assert list_adapters(server, None, as_json=False) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("fleet", "active", "2.5", "aaaaaaaaaaaa", "yes", "[red]"))
    assert "\x1b" not in out
    assert list_adapters(server, None, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {"data": [ADAPTER]}
    Server.answer = (200, json.dumps(ADAPTER))
    assert list_adapters(server, "team/a b", as_json=True) == 0
    assert Server.asked[-1][0] == "/v1/adapters/team/a%20b"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            (404, json.dumps({"error": {"param": "lora_name", "message": "there is none"}})),
            ": lora_name: there is none",
        ),
        ((400, json.dumps({"error": {"param": None, "message": "no"}})), r":\d+: no$"),
        ((502, "<html>"), "answers with status 502, expected a VeriLoRA server"),
        ((200, "<html>"), "expected the address of a VeriLoRA server"),
        ((200, "[]"), "expected the address of a VeriLoRA server"),
        ((200, '{"data": [{}]}'), "expected the address of a VeriLoRA server"),
    ],
    ids=["refused", "refused without a field", "a gateway", "a page", "a list", "another server"],
)
def test_what_is_refused_and_what_is_no_server(server: str, answer: tuple[int, str], message: str) -> None:
    Server.answer = answer
    with pytest.raises(InputError, match=message):
        list_adapters(server, None, as_json=False)


@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1:8000", "ftp://127.0.0.1", "file:///etc", "http://", "http://127.0.0.1:99999", "http://[::1"],
)
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(InputError, match=r"--server: got .*, (expected an address|which cannot be reached)"):
        unload_adapter(address, "fleet")


def test_a_server_that_is_not_there(server: str) -> None:
    with pytest.raises(InputError, match="which cannot be reached: Connection refused"):
        unload_adapter("http://127.0.0.1:1", "fleet")
