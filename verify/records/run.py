"""Runs of `train`: what the files in the directory of one hold, as far as more than one stage speaks of it."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, Field

from ...specs.domain import Domain, load_domain
from ...specs.files.errors import InputError
from ...specs.files.record import Record, read_record
from ...specs.files.record_file import RecordFile
from ...synth.controllers.controller import Ending, Otherwise
from .digests import DomainDigests
from .evaluation import Evaluation
from .requirement import Requirement
from .run_files import RunFiles
from .verdict import Mode


class Provenance(Record):
    """The digests, versions and time of a run, which stand in `config.json` beside its settings."""

    rulebook_digest: str
    sentences_digest: str
    tasks_digest: str
    worlds: dict[str, str]
    recordings: dict[str, str] = Field(default_factory=dict)
    model_digest: str
    tokenizer_digest: str
    versions: dict[str, str]
    started: str

    @property
    def domain_digests(self) -> DomainDigests:
        """The digests of the domain under the run's rulebook."""
        return DomainDigests(
            rulebook=self.rulebook_digest, tasks=self.tasks_digest, worlds=self.worlds, recordings=self.recordings
        )


class PairSettings(Record):
    """Which pairs were made, with all further settings of them."""

    model_config = ConfigDict(extra="allow")

    shuffle: bool


class GrpoSettings(Record):
    """How GRPO samples, with all further settings of it."""

    model_config = ConfigDict(extra="allow")

    num_steps: int
    batch_size: int


class RunConfig(Provenance):
    """What a run was asked to do, resolved (`config.json`): what reports speak of, and all further settings of `train`.

    The further ones keep their names; `TrainConfig` has their types.
    """

    model_config = ConfigDict(extra="allow")

    task: str
    specs: str
    rulebook: str
    model: str | None
    world: str
    mode: Mode
    ending: Ending
    otherwise: Otherwise
    seed: int
    samples: int
    temperature: float
    top_p: float
    constrained: bool
    algorithm: str
    require: tuple[Requirement, ...] = ()
    pairs: PairSettings
    grpo: GrpoSettings


class TrainingRow(Record):
    """What the trainer logged after a step: DPO accuracy and margin of the pairs, GRPO the mean reward."""

    round: int
    step: int
    epoch: float | None = None
    loss: float
    accuracy: float | None = None
    margin: float | None = None
    reward: float | None = None
    num_tokens: int | None = None
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run: where its files are, and what those hold that reports are made from."""

    files: RunFiles
    config: RunConfig
    evaluation: Evaluation
    training: tuple[TrainingRow, ...]

    @property
    def name(self) -> str:
        return self.files.path.resolve().name

    def replay(self, name: str) -> bytes:
        """Return a replay's bytes; raises InputError if it is missing or stands outside of the directory."""
        path = self.files.path / name
        if not path.resolve().is_relative_to(self.files.path.resolve()):
            message = f"{name!r} stands outside of the run directory"
            raise InputError(self.files.evaluation, message, field="violations")
        try:
            return path.read_bytes()
        except OSError as error:
            raise InputError(path, f"cannot be read: {error.strerror}") from None


def read_config(files: RunFiles) -> RunConfig:
    """Return the configuration of a run; raises InputError if there is none, so that the directory is no run."""
    if not files.config.is_file():
        raise InputError(files.path, "not a run directory: expected a config.json in it")
    return read_record(files.config, RunConfig)


def read_run(path: Path | str) -> Run:
    """Return the content of a run directory; raises InputError that names the file and the field that it lacks."""
    files = RunFiles(Path(path))
    if not files.path.is_dir():
        raise InputError(files.path, "no such directory: expected one that `train` wrote")
    for needed in (files.config, files.evaluation, files.training):
        if not needed.is_file():
            raise InputError(needed, "no such file: expected a run directory whose evaluation is complete")
    return Run(
        files=files,
        config=read_config(files),
        evaluation=read_record(files.evaluation, Evaluation),
        training=tuple(RecordFile(files.training, TrainingRow).read()),
    )


def domain_of(files: RunFiles, task: str, specs: Path | str) -> Domain:
    """Return a run's domain from the folder in its configuration, or another that is asked for; raises InputError."""
    if not (Path(specs) / task).is_dir():
        message = f"names {Path(specs) / task}, which is not there: expected --specs with the folder of task domains"
        raise InputError(files.config, message, field="specs")
    return load_domain(task, specs)
