"""/health, /ready and /metrics: for those who keep the server running."""

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from ..api.answers import Status, as_json
from ..api.api_error import documented, unavailable
from ..front import Front
from .document import answers_with

_TEXT = {"text/plain": {"schema": {"type": "string"}}}


def health_routes(front: Front) -> APIRouter:
    """Return the routes that tell how the server is."""
    router = APIRouter(tags=["health"])

    @router.get("/health", operation_id="health", responses=answers_with(Status))
    async def health() -> Response:
        """Say that the server is alive."""
        return as_json(Status(status="alive"))

    @router.get("/ready", operation_id="ready", responses={**answers_with(Status), **documented(503)})
    async def ready() -> Response:
        """Say whether a request would be taken now."""
        if front.is_draining:
            raise unavailable("the server is about to end", "draining")
        if not front.is_ready:
            raise unavailable("the engine is not ready", "engine_unavailable")
        return as_json(Status(status="ready"))

    @router.get(
        "/metrics", operation_id="metrics", responses={200: {"description": "Prometheus' text.", "content": _TEXT}}
    )
    async def metrics() -> Response:
        """Tell the server's figures."""
        return Response(await front.figures(), media_type=CONTENT_TYPE_LATEST)

    return router
