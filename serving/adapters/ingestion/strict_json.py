"""JSON of strangers: one object in UTF-8, no key twice, no half of a surrogate pair."""

import json
from pathlib import Path
from typing import Any

from ....specs.files.errors import InputError
from ....specs.files.record import NESTS_TOO_DEEPLY, decode_json


def strict_object(content: bytes, path: Path) -> dict[str, Any]:
    """Return the JSON object in some bytes; raises InputError."""
    try:
        found = decode_json(content.decode(), path)
        # Half a pair cannot be written, and would fail wherever a message names it.
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise InputError(path, f"not UTF-8: {error.reason} at byte {error.start}") from None
    except UnicodeEncodeError:
        raise InputError(path, "holds half of a surrogate pair, expected text that can be written in UTF-8") from None
    except RecursionError:
        raise InputError(path, NESTS_TOO_DEEPLY) from None
    if not isinstance(found, dict):
        raise InputError(path, f"expected a JSON object, got {type(found).__name__}")
    return found
