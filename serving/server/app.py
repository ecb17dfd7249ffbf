"""The app: routes, errors in one shape, the OpenAPI document, a line in the log for each request."""

from collections.abc import Iterable
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from .api import adapters, answers, bodies
from .api.api_error import ErrorAnswer, documented, map_errors
from .front import Front
from .request_log import RequestLog
from .routes.chat import chat_routes
from .routes.completions import completion_routes
from .routes.health import health_routes
from .routes.models import model_routes
from .routes.tokens import token_routes

TITLE = "VeriLoRA"
_PLACE = "#/components/schemas/{model}"
_BODIES = (
    bodies.CompletionBody,
    bodies.ChatBody,
    bodies.TokenizeBody,
    bodies.DetokenizeBody,
    adapters.LoadAdapterBody,
    adapters.UnloadAdapterBody,
)
_ANSWERS = (
    answers.Completion,
    answers.ChatCompletion,
    answers.ChatCompletionChunk,
    answers.Model,
    answers.Models,
    answers.Tokens,
    answers.Text,
    answers.Status,
    adapters.Adapters,
    adapters.AdapterDetail,
    ErrorAnswer,
)


def create_app(front: Front, more: Iterable[APIRouter] = ()) -> FastAPI:
    """Return the server's app, with more routes if some are given."""
    app = FastAPI(title=TITLE, version="1", docs_url=None, redoc_url=None)
    map_errors(app)
    app.add_middleware(RequestLog, front=front)
    routes = (chat_routes, completion_routes, model_routes, token_routes, health_routes)
    for router in (*(of(front) for of in routes), *more):
        app.include_router(router)

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, in which bodies and answers have the types that read and write them."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    _, read = models_json_schema([(body, "validation") for body in _BODIES], ref_template=_PLACE)
    schemas.update(read["$defs"])
    _, written = msgspec.json.schema_components(_ANSWERS, ref_template=_PLACE.replace("model", "name"))
    schemas.update(written)
    for operation in (one for path in document["paths"].values() for one in path.values()):
        # What is wrong with a field is answered with 400, as OpenAI does.
        operation["responses"].pop("422", None)
        everywhere = documented(400, 403, 431, *((408, 413, 415) if "requestBody" in operation else ()))
        operation["responses"] = {str(status): told for status, told in everywhere.items()} | operation["responses"]
    return document
