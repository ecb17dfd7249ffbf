"""The files of a run: where each stage finds what the ones before it wrote."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...specs.files.errors import InputError
from ...specs.files.record import read_json
from ...specs.files.record_file import UNFINISHED, RecordFile, write_json
from .config import TrainConfig


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of a run. What a round trains lies in a folder of its own until the best round becomes `adapter/`."""

    path: Path

    @property
    def config_path(self) -> Path:
        return self.path / "config.json"

    @property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @property
    def verdicts(self) -> Path:
        return self.path / "verdicts.jsonl"

    @property
    def pairs(self) -> RecordFile:
        return RecordFile(self.path / "pairs.jsonl", ("round", "wording", "chosen", "rejected"))

    @property
    def training(self) -> RecordFile:
        return RecordFile(self.path / "training.jsonl", ("round",))

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def evaluation(self) -> Path:
        return self.path / "eval.json"

    def evaluated(self, name: str) -> Path:
        """Return where the responses of one evaluation stand."""
        return self.path / "evaluation" / f"{name}.jsonl"

    def round(self, number: int) -> Path:
        """Return the folder of a round: its checkpoints, then its `adapter/`."""
        return self.path / "checkpoints" / f"round-{number}"

    def round_adapter(self, number: int) -> Path:
        """Return the adapter of a round; of round 0 there is none."""
        return self.round(number) / "adapter"

    @property
    def stages(self) -> Path:
        return self.path / "stages.jsonl"

    @property
    def is_unbegun(self) -> bool:
        """Whether the directory holds at most what a run writes before its configuration stands there."""
        before = {self.stages.name, self.evaluated("").parent.name, f"{self.config_path.name}{UNFINISHED}"}
        return all(entry.name in before for entry in self.path.iterdir())

    def read_config(self) -> dict[str, Any]:
        """Return the content of config.json; raises InputError if there is none, so that this is no run."""
        if not self.config_path.is_file():
            raise InputError(self.path, "not a run directory: expected a config.json in it")
        content = read_json(self.config_path)
        if not isinstance(content, dict):
            raise InputError(self.config_path, f"expected a JSON object, got {type(content).__name__}")
        return content

    def read_settings(self) -> TrainConfig:
        """Return the settings in config.json; raises InputError."""
        try:
            return TrainConfig.from_json(self.read_config())
        except InputError:
            raise
        except ValueError as error:
            raise InputError(self.config_path, f"not the configuration of a run: {error}") from None

    def write_config(self, content: dict[str, Any]) -> None:
        """Make the directory and its config.json."""
        (self.path / "evaluation").mkdir(parents=True, exist_ok=True)
        write_json(self.config_path, content)
