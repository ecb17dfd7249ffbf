"""What all routes of answers say alike."""

import secrets
import time
from typing import Any

from ..api.answers import Answer


def answers_with(kind: type[Answer], piece: type[Answer] | None = None) -> dict[int | str, dict[str, Any]]:
    """Return how OpenAPI tells of an answer, and of the pieces of a stream."""
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
    said = "The answer."
    if piece is not None:
        content["text/event-stream"] = {"schema": {"type": "string"}}
        said = f"The answer; with `stream`, events whose data is a {piece.__name__}, and then [DONE]."
    return {200: {"description": said, "content": content}}


def new_id(kind: str) -> str:
    """Return an id of an answer that nobody else has."""
    return f"{kind}-{secrets.token_hex(16)}"


def now() -> int:
    """Return the seconds since 1970."""
    return int(time.time())
