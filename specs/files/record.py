"""Records: JSON objects that one stage writes and another reads, each with one type for both."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import InputError
from .yaml_file import read_text

MAX_BYTES = 2**28
NESTS_TOO_DEEPLY = "not JSON that can be read: it nests too deeply"


class Record(BaseModel):
    """A JSON object in a file. What it holds beyond the fields is ignored: files of newer versions stay readable."""

    model_config = ConfigDict(extra="ignore", frozen=True)


RecordT = TypeVar("RecordT", bound=BaseModel)


def read_record(path: Path, model: type[RecordT]) -> RecordT:
    """Return the object in a JSON file; raises InputError that names the file and the field."""
    return parse_record(read_json(path), model, path)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; raises InputError."""
    return decode_json(read_text(path, MAX_BYTES), path)


def decode_json(text: str, path: Path, line: int | None = None) -> Any:
    """Return the JSON value in a text, which stands in a file, perhaps in one of its lines; raises InputError.

    A key that an object holds twice is refused: who reads the first and who reads the last would see two contents.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            times = Counter(key for key, _ in pairs)
            twice = next(key for key, count in times.items() if count > 1)
            raise InputError(path, "stands twice in one object, expected it once", line=line, field=twice)
        return content

    try:
        return json.loads(text, object_pairs_hook=unique)
    except InputError:
        raise
    except json.JSONDecodeError as error:
        at = f"{error.msg} at column {error.colno}"
        raise InputError(path, f"not JSON: {at}", line=line or error.lineno) from None
    except RecursionError:
        raise InputError(path, NESTS_TOO_DEEPLY, line=line) from None
    except ValueError as error:
        # Numbers of thousands of digits.
        raise InputError(path, f"not JSON that can be read: {error}", line=line) from None


def parse_record(content: Any, model: type[RecordT], path: Path, line: int | None = None) -> RecordT:
    """Return a JSON value as a model; raises InputError for the first field that is missing or does not fit."""
    if not isinstance(content, dict):
        raise InputError(path, f"expected a JSON object, got {type(content).__name__}", line=line)
    try:
        return model.model_validate(content)
    except RecursionError:
        # Checking it, and showing what is wrong, take more of the stack than reading it.
        raise InputError(path, NESTS_TOO_DEEPLY, line=line) from None
    except ValidationError as error:
        first = error.errors()[0]
        message = "is missing" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
        raise InputError(path, message, line=line, field=".".join(map(str, first["loc"]))) from None
