"""How a request's body is read: no more of it than allowed, and off the event loop if it is long."""

import asyncio
from typing import Any, TypeVar

import pydantic
from fastapi import Request

from ..text.text_model import LONG_TEXT
from .api_error import ApiError, refused
from .bodies import Body
from .unique_keys import check_keys

MOST_REASONS = 4
BODY_SECONDS = 30
Read = TypeVar("Read", bound=Body)


async def read_body(request: Request, kind: type[Read], max_bytes: int) -> Read:
    """Return a body; raises ApiError for one that is too large or not what is expected."""
    raw = await read_bytes(request, max_bytes)
    if len(raw) > LONG_TEXT:
        return await asyncio.to_thread(_parsed, raw, kind)
    return _parsed(raw, kind)


async def read_bytes(request: Request, max_bytes: int) -> bytes:
    """Return the bytes of a body; raises ApiError for another type than JSON, and for more than so many."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # A page of another site may send anything else without asking.
        raise ApiError(415, "the body has another content type, expected application/json", code="not_json")
    too_large = ApiError(413, f"the body has over {max_bytes} bytes", code="body_too_large")
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > max_bytes:
        raise too_large
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                raw += chunk
                if len(raw) > max_bytes:
                    raise too_large
    except TimeoutError:
        raise ApiError(408, f"the body did not come within {BODY_SECONDS} s", code="body_timeout") from None
    return bytes(raw)


def body_document(kind: type[Body]) -> dict[str, Any]:
    """Return how OpenAPI tells of a body."""
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _parsed(raw: bytes, kind: type[Read]) -> Read:
    try:
        read = kind.model_validate_json(raw)
    except pydantic.ValidationError as error:
        raise _refusal(error) from None
    # Behind it, since it refuses what nests too deeply.
    check_keys(raw)
    return read


def _refusal(error: pydantic.ValidationError) -> ApiError:
    """Return what is said of a body: of its first field at fault, all that it could have been."""
    errors = error.errors(include_url=False, include_input=False)
    place = _place(errors[0]["loc"])
    if errors[0]["type"] == "extra_forbidden":
        return refused(f"{place} is not a known field", place, "unknown_parameter")
    own = dict.fromkeys(one["msg"] for one in errors if _place(one["loc"]).startswith(place))
    return refused(f"{place or 'the body'}: {'; or: '.join([*own][:MOST_REASONS])}", place or None)


def _place(location: tuple[int | str, ...]) -> str:
    """Return the field that an error is about, without the forms that it could have."""
    parts = [str(part) for part in location]
    form = next((at for at, part in enumerate(parts) if at and (part == "str" or "[" in part)), len(parts))
    return ".".join(parts[:form])
