"""Who calls the server by another name, or brings too many headers, is refused at the door."""

import pytest

from verilora.serving.server.gate import refusal_of
from verilora.serving.server.settings import ServerSettings

SETTINGS = ServerSettings(served_name="base")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8000", "localhost:1", "LOCALHOST", "[::1]", "[::1]:8000"], ids=str
)
def test_this_machines_own_names_are_let_in(host: str) -> None:
    assert refusal_of({"headers": [(b"host", host.encode())]}, SETTINGS) is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::2]", "\xff"])
def test_other_names_are_not(host: str) -> None:
    refusal = refusal_of({"headers": [(b"host", host.encode("latin-1"))]}, SETTINGS)
    assert refusal is not None
    assert (refusal.status, refusal.answer.error.code) == (403, "host_not_allowed")


def test_too_many_headers_are_refused() -> None:
    refusal = refusal_of({"headers": [(b"x", b"y" * 100)] * 700}, SETTINGS)
    assert refusal is not None
    assert refusal.status == 431
