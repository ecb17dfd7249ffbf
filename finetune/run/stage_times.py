"""How long the stages of a run take, on the console and in a file that benchmarks read."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from ...specs.files.record import Record
from ...specs.files.record_file import RecordFile


class StageTime(Record):
    """What one stage took."""

    stage: str
    seconds: float


class StageTimes:
    """Announces stages and writes what they took, in seconds, to `stages.jsonl`; stages done earlier take none."""

    def __init__(self, path: Path, out: Console) -> None:
        self._file = RecordFile(path, StageTime)
        self._out = out

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; one that fails or is stopped leaves no line."""
        begin = time.perf_counter()
        self._out.print(f"stage: {name}", style="bold")
        yield
        self._file.path.parent.mkdir(parents=True, exist_ok=True)
        self._file.append([StageTime(stage=name, seconds=round(time.perf_counter() - begin, 3))])
