"""Errors as OpenAI's API has them, and the one place where everything that goes wrong becomes one."""

import logging
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from ...requests.request import Finish
from ...wire.generation import EngineLost, GenerationError
from ..text.text_model import TextTooLong

_LOG = logging.getLogger(__name__)
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
}


class ErrorContent(msgspec.Struct, frozen=True):
    """What went wrong: `param` is the field at fault, `code` a word for programs."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The answer to a request that cannot be served."""

    error: ErrorContent


class ApiError(Exception):
    """A request that is answered with an error. The message names no path of the server and nothing of a prompt."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
        self.answer = ErrorAnswer(ErrorContent(message, kind, param, code))

    def response(self) -> Response:
        """Return the answer."""
        return Response(msgspec.json.encode(self.answer), self.status, self.headers, "application/json")


def refused(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Return the error of a request that cannot be what it is."""
    return ApiError(400, message, param=param, code=code)


def too_long(error: TextTooLong, field: str) -> ApiError:
    """Return the error of a text that has more tokens than may be."""
    return refused(f"{field}, {error}", field, "context_length_exceeded")


def unavailable(message: str, code: str, retry_seconds: int = 1) -> ApiError:
    """Return the error of a server that cannot answer now."""
    return ApiError(503, message, code=code, headers={"Retry-After": str(retry_seconds)})


def error_of(error: Exception) -> ApiError:
    """Return what is answered to a request that has ended with an error."""
    match error:
        case ApiError():
            return error
        case EngineLost():
            return unavailable(str(error), "engine_unavailable")
        case TextTooLong():
            return too_long(error, "prompt")
        case GenerationError(finish=Finish.DEADLINE):
            return unavailable("it waited too long for its turn", "queue_timeout")
        case GenerationError(is_refused=True):
            return refused(str(error), _field_of(str(error)))
        case GenerationError():
            return ApiError(500, str(error) or "generation has failed", code="generation_failed")
        case RequestValidationError():
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"][1:])
            return refused(f"{place}: {first['msg']}", place)
        case HTTPException():
            return ApiError(error.status_code, str(error.detail), headers=error.headers)
        case _:
            _LOG.error("a request has failed", exc_info=error)
            return ApiError(500, "the server has failed; its log says why", code="internal_error")


def map_errors(app: FastAPI) -> None:
    """Let an app answer every error as `error_of` says."""

    def answer(_: Request, error: Exception) -> Response:
        return error_of(error).response()

    for kind in (ApiError, EngineLost, GenerationError, TextTooLong, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return how OpenAPI tells of the errors of a route."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}
    return {status: {"description": _DESCRIPTIONS[status], "content": content} for status in statuses}


_DESCRIPTIONS = {
    400: "The request cannot be what it is; `param` names the field.",
    403: "The server was called by another name than its own.",
    404: "There is no such model.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is not said to be JSON.",
    429: "Too many requests are being answered.",
    431: "The headers are too large.",
    500: "The server has failed.",
    503: "The engine is not ready, or the request waited too long.",
}


def _field_of(message: str) -> str | None:
    """Return the field that a message of the engine begins with; several may have left no token."""
    found = re.match(r"([a-z_]+),", message)
    return found[1] if found and found[1] not in ("grammar", "token") else None
