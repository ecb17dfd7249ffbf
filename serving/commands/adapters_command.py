"""What `verilora adapters` does: a running server is told over HTTP."""

import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from rich.table import Table
from rich.text import Text

from ...specs.files.errors import InputError
from ...specs.files.printable import one_line
from ...verify.commands.terminal import console

# Loading an adapter of gigabytes takes a while.
PATIENCE = 300.0
_CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}


def load_adapter(server: str, name: str, folder: Path, *, replace: bool) -> int:
    """Let a server load an adapter from a folder of its machine, say so, and return 0; raises InputError."""
    body = {"lora_name": name, "lora_path": str(folder.absolute()), "load_inplace": replace}
    print(one_line(_ask(server, "POST", "/v1/load_lora_adapter", body)))
    return 0


def unload_adapter(server: str, name: str) -> int:
    """Let a server unload an adapter, say so, and return 0; raises InputError."""
    print(one_line(_ask(server, "POST", "/v1/unload_lora_adapter", {"lora_name": name})))
    return 0


def list_adapters(server: str, name: str | None, *, as_json: bool) -> int:
    """Print a server's adapters, or all that is known of one, and return 0; raises InputError."""
    path = "/v1/adapters" if name is None else f"/v1/adapters/{quote(name)}"
    answer = _ask(server, "GET", path)
    try:
        found: dict[str, Any] = json.loads(answer)
        table = _table(found["data"] if name is None else [found])
    except (ValueError, KeyError, TypeError):
        raise InputError("--server", f"got {server!r}, expected the address of a VeriLoRA server") from None
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        console().print(table)
    return 0


def _table(adapters: list[dict[str, Any]]) -> Table:
    table = Table("name", "version", "state", "rank", "MB", "digest", "certificate", "last error")
    for one in adapters:
        certificate = "yes" if one["has_certificate"] else ""
        megabytes = f"{one['bytes'] / 1e6:.1f}"
        cells = (one["name"], one["version"], one["state"], one["rank"], megabytes, one["digest"][:12], certificate)
        # As it is: what a server says is no markup.
        table.add_row(*(Text(one_line(str(cell))) for cell in (*cells, one["last_error"] or "")))
    return table


def _ask(server: str, method: str, path: str, body: dict[str, object] | None = None) -> str:
    """Return what a server answers; raises InputError if it refuses, or is not there."""
    try:
        connection, below = _connection(server)
        sent = None if body is None else json.dumps(body)
        connection.request(method, below + path, sent, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer: str = response.read().decode(errors="replace")
    except InputError:
        raise
    except (OSError, ValueError, HTTPException) as error:
        message = f"got {server!r}, which cannot be reached: {getattr(error, 'strerror', None) or error}"
        raise InputError("--server", message) from None
    if response.status != 200:
        raise InputError(server, _reason(response.status, answer))
    return answer


def _connection(server: str) -> tuple[HTTPConnection, str]:
    """Return a connection to a server, and the path below which it answers; raises ValueError, InputError."""
    address = urlsplit(server)
    if address.scheme not in _CONNECTIONS or not address.hostname:
        raise InputError("--server", f"got {server!r}, expected an address such as http://127.0.0.1:8000")
    connection = _CONNECTIONS[address.scheme](address.hostname, address.port, timeout=PATIENCE)
    return connection, address.path.rstrip("/")


def _reason(status: int, answer: str) -> str:
    try:
        error: dict[str, Any] = json.loads(answer)["error"]
        return ": ".join(str(part) for part in (error["param"], error["message"]) if part)
    except (ValueError, KeyError, TypeError):
        return f"answers with status {status}, expected a VeriLoRA server"
