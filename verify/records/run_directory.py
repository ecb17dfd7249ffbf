"""Run directories: the files of a run that a report is made from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...specs.files.errors import InputError
from ...specs.files.record import Record, parse_record, read_json, read_record, read_records
from .evaluation import Evaluation

CONFIG, EVALUATION, TRAINING = "config.json", "eval.json", "training.jsonl"


class RunConfig(Record):
    """What a run was asked to do, resolved, as far as reports speak of it."""

    task: str
    specs: str
    rulebook: str
    rulebook_digest: str
    tasks_digest: str
    worlds: dict[str, str]
    model: str | None
    model_digest: str
    tokenizer_digest: str
    world: str
    mode: str
    ending: str
    otherwise: str
    seed: int
    samples: int
    temperature: float
    top_p: float = 1.0
    versions: dict[str, Any]


class TrainingRow(Record):
    """What the trainer logged after a step: DPO accuracy and margin of the pairs, GRPO the mean reward."""

    round: int
    step: int
    loss: float
    accuracy: float | None = None
    margin: float | None = None
    reward: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """The content of a run directory. `settings` is its configuration as it stands in the file."""

    path: Path
    config: RunConfig
    settings: dict[str, Any]
    evaluation: Evaluation
    training: tuple[TrainingRow, ...]

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    def replay(self, name: str) -> bytes:
        """Return a replay's bytes; raises InputError if it is missing or stands outside of the directory."""
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise InputError(
                self.path / EVALUATION, f"{name!r} stands outside of the run directory", field="violations"
            )
        try:
            return path.read_bytes()
        except OSError as error:
            raise InputError(path, f"cannot be read: {error.strerror}") from None


def specs_folder(config_path: Path, specs: str, task: str, asked: Path | None) -> Path:
    """Return where a run finds its domain: the folder that is asked for, or the one of its configuration.

    Raises InputError if the domain is not there.
    """
    folder = asked or Path(specs)
    if not (folder / task).is_dir():
        message = f"names {folder / task}, which is not there: expected --specs with the folder of task domains"
        raise InputError(config_path, message, field="specs")
    return folder


def read_run(path: Path) -> RunDirectory:
    """Return the content of a run directory; raises InputError that names the file and the field that it lacks."""
    if not path.is_dir():
        raise InputError(path, "no such directory: expected one that `train` wrote")
    for name in (CONFIG, EVALUATION, TRAINING):
        if not (path / name).is_file():
            raise InputError(path / name, "no such file: expected a run directory whose evaluation is complete")
    settings = read_json(path / CONFIG)
    return RunDirectory(
        path=path,
        config=parse_record(settings, RunConfig, path / CONFIG),
        settings=settings,
        evaluation=read_record(path / EVALUATION, Evaluation),
        training=read_records(path / TRAINING, TrainingRow),
    )
