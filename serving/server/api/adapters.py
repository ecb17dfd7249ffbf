"""What clients say of adapters, in the names of vLLM, and what they are told of them."""

from typing import Annotated, Literal

import msgspec
from pydantic import Field

from ...adapters.adapter_record import AdapterState
from ...adapters.sql.registry import Entry
from .answers import Answer
from .bodies import Body

Name = Annotated[str, Field(max_length=512)]


class LoadAdapterBody(Body):
    """An adapter that is to be registered, from a folder under an adapter root of the server."""

    lora_name: Name
    lora_path: Annotated[str, Field(max_length=4096)]
    load_inplace: bool = False


class UnloadAdapterBody(Body):
    """A name that is to stand for nothing any more. Clients of vLLM may tell a number, which says nothing here."""

    lora_name: Name
    lora_int_id: int | None = None


class Adapter(Answer, frozen=True, kw_only=True):
    """What a name stands for.

    state       active if it can be asked for, checking, or failed
    last_error  why the newest version failed, if it did; an older one may be active
    """

    name: str
    object: Literal["adapter"] = "adapter"
    version: int
    digest: str
    rank: int
    bytes: int
    state: AdapterState
    created: int
    has_certificate: bool
    last_error: str | None


class AdapterDetail(Adapter, frozen=True, kw_only=True):
    """What a name stands for, with its certificate as it lay beside the adapter, or null."""

    certificate: msgspec.Raw


class Adapters(Answer, frozen=True, kw_only=True):
    """All adapters, by name."""

    object: Literal["list"] = "list"
    data: list[Adapter]


def adapter_of(entry: Entry) -> Adapter:
    """Return what is told of a name in a list."""
    record = entry.record
    return Adapter(
        name=record.name,
        version=record.version,
        digest=record.digest,
        rank=record.rank,
        bytes=record.num_bytes,
        state=record.state,
        created=int(record.created_at.timestamp()),
        has_certificate=bool(entry.certificate),
        last_error=entry.last_error or None,
    )


def detail_of(entry: Entry) -> AdapterDetail:
    """Return all that is told of a name."""
    told = msgspec.structs.asdict(adapter_of(entry))
    # Checked to be an object of JSON when it was taken in.
    return AdapterDetail(**told, certificate=msgspec.Raw((entry.certificate or "null").encode()))
