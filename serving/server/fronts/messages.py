"""What the fronts of a server say to each other over pipes: arrays with a tag, in msgpack. Nothing here is code."""

from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from ...adapters.adapter_error import Refusal
from ...adapters.adapter_record import AdapterRecord
from ..settings import ServerSettings
from .figures import Family


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A message is an array that begins with its tag."""


class Start(Message, frozen=True, tag="start"):
    """What another front is told before anything else.

    listener  the file descriptor of the socket that all fronts accept on
    endpoint  where the engine takes messages, None while there is none
    named     grammars in EBNF that have names; `tokens` is the file of what grammars are compiled for
    resolves  whether the first front looks for adapters that are not known
    """

    number: int
    listener: int
    settings: ServerSettings
    started_at: int
    endpoint: str | None
    tokens: str
    named: dict[str, str]
    resolves: bool
    records: list[AdapterRecord]


class EngineAt(Message, frozen=True, tag="engine"):
    """The engine takes messages there from now on; None: it is gone."""

    endpoint: str | None


class Changed(Message, frozen=True, tag="changed"):
    """A name stands for another version from now on, or for nothing."""

    number: int
    name: str
    record: AdapterRecord | None


class TellFigures(Message, frozen=True, tag="figures"):
    """What are your figures?"""

    number: int


class Drain(Message, frozen=True, tag="drain"):
    """Take nothing more, and end once nothing runs; said again, at once."""


class Answer(Message, frozen=True, tag="answer"):
    """What came of something that was asked for: bytes, an adapter, or why not."""

    number: int
    content: bytes = b""
    record: AdapterRecord | None = None
    refusal: Refusal | None = None
    message: str = ""


class Awake(Message, frozen=True, tag="awake"):
    """Another front has loaded its code, and wants to be told what to do."""


class Serving(Message, frozen=True, tag="serving"):
    """It accepts connections from now on."""


class Noted(Message, frozen=True, tag="noted"):
    """A change is seen by all requests from now on."""

    number: int


class Figures(Message, frozen=True, tag="told"):
    """Its figures."""

    number: int
    families: list[Family]


class Verb(StrEnum):
    """What another front asks the first one for."""

    ADD = "add"
    REPLACE = "replace"
    REMOVE = "remove"
    LIST = "list"
    TELL = "tell"
    RESOLVE = "resolve"
    FIGURES = "figures"


class Ask(Message, frozen=True, tag="ask"):
    """Something that only the first front can do."""

    number: int
    verb: Verb
    name: str = ""
    path: str = ""


FromFirst = Start | EngineAt | Changed | TellFigures | Drain | Answer
FromOther = Awake | Serving | Noted | Figures | Ask


def _written(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _read(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)


_encoder = msgspec.msgpack.Encoder(enc_hook=_written)
_from_first: msgspec.msgpack.Decoder[FromFirst] = msgspec.msgpack.Decoder(FromFirst, dec_hook=_read)
_from_other: msgspec.msgpack.Decoder[FromOther] = msgspec.msgpack.Decoder(FromOther, dec_hook=_read)


def encode(message: FromFirst | FromOther) -> bytes:
    """Return a message as bytes."""
    return _encoder.encode(message)


def decode_from_first(payload: bytes) -> FromFirst:
    """Return what the first front says; raises msgspec.ValidationError or DecodeError for anything else."""
    return _from_first.decode(payload)


def decode_from_other(payload: bytes) -> FromOther:
    """Return what another front says; raises msgspec.ValidationError or DecodeError for anything else."""
    return _from_other.decode(payload)
