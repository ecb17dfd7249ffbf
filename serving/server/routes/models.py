"""/v1/models: the base model and its adapters."""

from fastapi import APIRouter
from fastapi.responses import Response

from ...adapters.adapter_record import AdapterRecord
from ..api.answers import Model, Models, as_json
from ..api.api_error import documented
from ..front import Front
from .document import answers_with


def model_routes(front: Front) -> APIRouter:
    """Return the routes of models."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models", operation_id="listModels", responses={**answers_with(Models), **documented(503)})
    async def models() -> Response:
        """List the base model and the adapters, each of which can be named as `model`."""
        found = [_base(front), *(_adapter(front, record) for record in front.catalogue.all())]
        return as_json(Models(data=found))

    @router.get(
        "/v1/models/{model:path}", operation_id="getModel", responses={**answers_with(Model), **documented(404, 503)}
    )
    async def model(model: str) -> Response:
        """Tell of one model."""
        record = await front.adapter(model)
        found = _base(front) if record is None else _adapter(front, record)
        return as_json(found)

    return router


def _base(front: Front) -> Model:
    return Model(id=front.settings.served_name, created=front.started_at, max_model_len=front.max_model_len)


def _adapter(front: Front, record: AdapterRecord) -> Model:
    return Model(
        id=record.name,
        created=int(record.created_at.timestamp()),
        parent=front.settings.served_name,
        max_model_len=front.max_model_len,
    )
