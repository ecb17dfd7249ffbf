"""Files of records, one JSON object a line, that are written in whole parts and outlive a kill in the middle."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Generic

from .atomic import write_text
from .errors import InputError
from .record import RecordT, decode_json, parse_record


class RecordFile(Generic[RecordT]):
    """A JSON Lines file of records of one type; a field that is None is left out.

    What a kill cut off in its last line is dropped when it is read, and by the next append.
    """

    def __init__(self, path: Path, model: type[RecordT]) -> None:
        self.path = path
        self.model = model

    def read(self) -> list[RecordT]:
        """Return the complete records, none if there is no file. Raises InputError for a line that is no such record.

        Only the end of a file can have been cut off: a broken line before it means that somebody changed the file.
        """
        if not self.path.exists():
            return []
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise InputError(self.path, f"cannot be read: {error.strerror}") from None
        # Cut as bytes: what a kill left can end inside of a character.
        *lines, _cut_off = content.split(b"\n")
        return [self._record(number, line) for number, line in enumerate(lines, start=1)]

    def append(self, records: Iterable[RecordT]) -> None:
        """Write records behind the complete ones and wait until they are on the disk."""
        with self.path.open("ab+") as file:
            file.truncate(self._complete_len())
            file.write(_lines(records).encode(errors="backslashreplace"))
            file.flush()
            os.fsync(file.fileno())

    def write(self, records: Iterable[RecordT]) -> None:
        """Replace the file; it is complete or as it was before."""
        write_text(self.path, _lines(records))

    def keep(self, num_records: int) -> None:
        """Drop all records but the first ones."""
        records = self.read()
        if len(records) > num_records:
            self.write(records[:num_records])

    def _complete_len(self) -> int:
        content = self.path.read_bytes() if self.path.is_file() else b""
        return content.rfind(b"\n") + 1

    def _record(self, number: int, line: bytes) -> RecordT:
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InputError(self.path, f"not UTF-8: {error.reason} at byte {error.start}", line=number) from None
        return parse_record(decode_json(text, self.path, number), self.model, self.path, number)


def _lines(records: Iterable[RecordT]) -> str:
    fields = (record.model_dump(mode="json", exclude_none=True) for record in records)
    return "".join(json.dumps(content, ensure_ascii=False) + "\n" for content in fields)
