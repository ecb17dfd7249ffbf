"""Files of records, one JSON object a line, that are written in whole parts and outlive a kill in the middle."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import InputError

Record = dict[str, Any]
UNFINISHED = ".unfinished"


class RecordFile:
    """A JSON Lines file whose records have at least the `fields`.

    What a kill cut off in its last line is dropped when it is read, and by the next append.
    """

    def __init__(self, path: Path, fields: Iterable[str] = ()) -> None:
        self.path = path
        self.fields = tuple(fields)

    def read(self) -> list[Record]:
        """Return the complete records, none if there is no file. Raises InputError for a line that is no such record.

        Only the end of a file can have been cut off: a broken line before it means that somebody changed the file.
        """
        if not self.path.exists():
            return []
        # Cut as bytes: what a kill left can end inside of a character.
        *lines, _cut_off = self.path.read_bytes().split(b"\n")
        return [self._record(number, line) for number, line in enumerate(lines, start=1)]

    def append(self, records: Iterable[Record]) -> None:
        """Write records behind the complete ones and wait until they are on the disk."""
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        with self.path.open("ab+") as file:
            file.truncate(self._complete_len())
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def write(self, records: Iterable[Record]) -> None:
        """Replace the file; it is complete or as it was before."""
        write_atomically(self.path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))

    def keep(self, num_records: int) -> None:
        """Drop all records but the first ones."""
        records = self.read()
        if len(records) > num_records:
            self.write(records[:num_records])

    def _complete_len(self) -> int:
        content = self.path.read_bytes() if self.path.is_file() else b""
        return content.rfind(b"\n") + 1

    def _record(self, number: int, line: bytes) -> Record:
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(self.path, f"not JSON: {error.msg} at column {error.colno}", line=number) from None
        except UnicodeDecodeError as error:
            raise InputError(self.path, f"not UTF-8: {error.reason} at byte {error.start}", line=number) from None
        if not isinstance(record, dict):
            raise InputError(self.path, f"expected a JSON object, got {line[:40].decode()!r}", line=number)
        missing = [field for field in self.fields if field not in record]
        if missing:
            raise InputError(self.path, f"expected the field {missing[0]!r}, got {', '.join(record)}", line=number)
        return record


def write_atomically(path: Path, text: str) -> None:
    """Write a file that is complete or does not change."""
    unfinished = path.with_name(path.name + UNFINISHED)
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def write_json(path: Path, content: object) -> None:
    """Write an object as indented JSON; the file is complete or does not change."""
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
