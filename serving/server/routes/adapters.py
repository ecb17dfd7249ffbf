"""Adapters at run time: vLLM's routes to load and unload them, and what is known of each."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from ...adapters.adapter_error import AdapterError, Refusal
from ..api.adapter_desk import AdapterDesk
from ..api.adapters import AdapterDetail, Adapters, LoadAdapterBody, UnloadAdapterBody
from ..api.api_error import ApiError, documented
from ..api.read_body import body_document, read_body
from .document import answers_with

MAX_BODY = 2**16
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "It is done.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
_ANSWERS = {
    Refusal.NAME: (400, "invalid_name"),
    Refusal.FILES: (400, "invalid_adapter"),
    Refusal.PRESENT: (400, "adapter_exists"),
    Refusal.ABSENT: (404, "adapter_not_found"),
    Refusal.UNAVAILABLE: (503, "adapter_unavailable"),
}


def adapter_routes(desk: AdapterDesk) -> APIRouter:
    """Return the routes of adapters."""
    router = APIRouter(tags=["adapters"])

    @router.post(
        "/v1/load_lora_adapter",
        operation_id="loadAdapter",
        openapi_extra=body_document(LoadAdapterBody),
        responses={**_TEXT, **documented(400, 404, 413, 503)},
        response_class=PlainTextResponse,
    )
    async def load(request: Request) -> Response:
        """Serve an adapter; with `load_inplace` it takes the place of the one of that name."""
        body = await read_body(request, LoadAdapterBody, MAX_BODY)
        try:
            await desk.add(body.lora_name, body.lora_path, replace=body.load_inplace)
        except AdapterError as error:
            raise _answered(error) from None
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")

    @router.post(
        "/v1/unload_lora_adapter",
        operation_id="unloadAdapter",
        openapi_extra=body_document(UnloadAdapterBody),
        responses={**_TEXT, **documented(400, 404, 413, 503)},
        response_class=PlainTextResponse,
    )
    async def unload(request: Request) -> Response:
        """Serve an adapter no more; requests that have begun end with it."""
        body = await read_body(request, UnloadAdapterBody, MAX_BODY)
        try:
            await desk.remove(body.lora_name)
        except AdapterError as error:
            raise _answered(error) from None
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")

    @router.get("/v1/adapters", operation_id="listAdapters", responses={**answers_with(Adapters), **documented(503)})
    async def adapters() -> Response:
        """List all adapters, those too that could not be loaded."""
        try:
            return _json(await desk.listed())
        except AdapterError as error:
            raise _answered(error) from None

    @router.get(
        "/v1/adapters/{name:path}",
        operation_id="getAdapter",
        responses={**answers_with(AdapterDetail), **documented(404, 503)},
    )
    async def adapter(name: str) -> Response:
        """Tell of one adapter, with its certificate."""
        try:
            return _json(await desk.told(name))
        except AdapterError as error:
            raise _answered(error) from None

    return router


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _answered(error: AdapterError) -> ApiError:
    status, code = _ANSWERS[error.refusal]
    param = {Refusal.NAME: "lora_name", Refusal.PRESENT: "lora_name", Refusal.FILES: "lora_path"}.get(error.refusal)
    return ApiError(status, str(error), param=param, code=code)
