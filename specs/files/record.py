"""Records: what the files of a run directory hold, as far as reports read it."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import InputError
from .yaml_file import read_text

MAX_BYTES = 2**28


class Record(BaseModel):
    """A JSON object that another stage wrote. It may hold more than is declared: the stages of a run grow apart."""

    model_config = ConfigDict(extra="ignore", frozen=True)


RecordT = TypeVar("RecordT", bound=BaseModel)


def read_record(path: Path, model: type[RecordT]) -> RecordT:
    """Return the object in a JSON file; raises InputError that names the file and the field."""
    return parse_record(read_json(path), model, path)


def read_records(path: Path, model: type[RecordT]) -> tuple[RecordT, ...]:
    """Return the objects of a file that holds one in each line; raises InputError that names the line."""
    lines = enumerate(read_text(path, MAX_BYTES).splitlines(), start=1)
    return tuple(parse_record(_decode(text, path, line), model, path, line) for line, text in lines if text.strip())


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; raises InputError."""
    return _decode(read_text(path, MAX_BYTES), path)


def parse_record(content: Any, model: type[RecordT], path: Path, line: int | None = None) -> RecordT:
    """Return a JSON value as a model; raises InputError for the first field that is missing or does not fit."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        message = "is missing" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
        raise InputError(path, message, line=line, field=".".join(map(str, first["loc"]))) from None


def _decode(text: str, path: Path, line: int | None = None) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = f"{error.msg} at column {error.colno}"
        raise InputError(path, f"not JSON: {at}", line=line or error.lineno) from None
