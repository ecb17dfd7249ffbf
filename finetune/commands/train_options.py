"""The options of the command `train`, and the settings of a run that they ask for."""

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ...specs.domain import DEFAULT_RULEBOOK, SHIPPED
from ...verify.records.verdict import Mode
from ...verify.verdicts.verifier import Settings
from ...verify.worlds.world import WorldKind
from ..run.config import Algorithm, Budget, TrainConfig

DEFAULTS = TrainConfig(task="driving", specs=str(SHIPPED), rulebook=DEFAULT_RULEBOOK)
# GRPO makes no pairs, and TRL samples for it, without a grammar.
DPO_ONLY = ("samples", "beta", "epochs", "losses", "shuffle_verdicts", "constrained")
# A run goes on with any of these: no result depends on the one, and digests check the other.
FREE_ON_RESUMING = ("processes", "specs")
T = TypeVar("T")


class Loss(NamedTuple):
    """One of TRL's losses and what it weighs."""

    name: str
    weight: float

    def __str__(self) -> str:
        return f"{self.name}:{self.weight:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """What was asked for on the command line; None is what was not, and then `DEFAULTS` hold, or the run's settings."""

    task: str | None = None
    specs: Path | None = None
    rulebook: str | None = None
    model: str | None = None
    out: Path | None = None
    samples: int | None = None
    rounds: int | None = None
    world: WorldKind | None = None
    mode: Mode | None = None
    algorithm: Algorithm | None = None
    seed: int | None = None
    device: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    batch_size: int | None = None
    constrained: bool | None = None
    learning_rate: float | None = None
    beta: float | None = None
    losses: tuple[Loss, ...] | None = None
    epochs: float | None = None
    baselines: Budget | None = None
    shuffle_verdicts: bool | None = None
    drive_seconds: float | None = None
    processes: int | None = None
    threads: int | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """The options that were asked for, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def resolve(options: TrainOptions) -> TrainConfig:
    """Return the settings that options ask for; raises ValueError for one that cannot be."""
    default = DEFAULTS
    algorithm = _or(options.algorithm, default.algorithm)
    unknown = next((name for name in DPO_ONLY if name in options.asked), None)
    if algorithm is Algorithm.GRPO and unknown:
        raise ValueError(f"{unknown}: expected dpo as the algorithm, got grpo, for which there is no such option")
    mode = _or(options.mode, default.mode)
    # In paper mode the margin is counted in rules.
    margin = 1.0 if mode is Mode.PAPER else default.pairs.margin
    optimiser = replace(
        default.optimiser,
        learning_rate=_or(options.learning_rate, default.optimiser.learning_rate),
        beta=_or(options.beta, default.optimiser.beta),
        epochs=_or(options.epochs, default.optimiser.epochs),
    )
    if options.losses:
        names, weights = zip(*options.losses, strict=True)
        optimiser = replace(optimiser, loss_type=names, loss_weights=weights)
    drive_seconds = _or(options.drive_seconds, default.evaluation.drive_seconds)
    return replace(
        default,
        task=_or(options.task, default.task),
        specs=_absolute(_or(options.specs, SHIPPED)),
        rulebook=_or(options.rulebook, default.rulebook),
        model=_absolute(options.model) if options.model and Path(options.model).is_dir() else options.model,
        world=Settings.of(mode, world=options.world).world,
        mode=mode,
        seed=_or(options.seed, default.seed),
        device=_or(options.device, default.device),
        samples=_or(options.samples, default.samples),
        temperature=_or(options.temperature, default.temperature),
        top_p=_or(options.top_p, default.top_p),
        constrained=_or(options.constrained, default.constrained),
        batch_size=_or(options.batch_size, default.batch_size),
        rounds=_or(options.rounds, default.rounds),
        algorithm=algorithm,
        baselines=_or(options.baselines, default.baselines),
        num_processes=options.processes or os.cpu_count() or 1,
        num_threads=_or(options.threads, default.num_threads),
        pairs=replace(default.pairs, margin=margin, shuffle=_or(options.shuffle_verdicts, default.pairs.shuffle)),
        optimiser=optimiser,
        evaluation=replace(default.evaluation, drive_seconds=drive_seconds),
    )


def options_of(config: TrainConfig, out: Path) -> TrainOptions:
    """Return the options that ask for the settings of a run."""
    optimiser = config.optimiser
    return TrainOptions(
        task=config.task,
        specs=Path(config.specs),
        rulebook=config.rulebook,
        model=config.model,
        out=out,
        samples=config.samples,
        rounds=config.rounds,
        world=config.world,
        mode=config.mode,
        algorithm=config.algorithm,
        seed=config.seed,
        device=config.device,
        temperature=config.temperature,
        top_p=config.top_p,
        batch_size=config.batch_size,
        constrained=config.constrained,
        learning_rate=optimiser.learning_rate,
        beta=optimiser.beta,
        losses=tuple(map(Loss, optimiser.loss_type, optimiser.loss_weights)),
        epochs=optimiser.epochs,
        baselines=config.baselines,
        shuffle_verdicts=config.pairs.shuffle,
        drive_seconds=config.evaluation.drive_seconds,
        processes=config.num_processes,
        threads=config.num_threads,
    )


def check_same(options: TrainOptions, config: TrainConfig, out: Path) -> None:
    """Raise ValueError for an option that asks for something else than the run in `out` has."""
    settings = options_of(config, out)
    for name, asked in options.asked.items():
        setting = getattr(settings, name)
        if name not in FREE_ON_RESUMING and not _is_same(setting, asked):
            raise ValueError(f"a run goes on with its own settings: {name} is {_said(setting)}, got {_said(asked)}")


def parse_losses(texts: list[str] | None) -> tuple[Loss, ...] | None:
    """Return TRL's losses from LOSS or LOSS:WEIGHT, None for none; raises ValueError."""
    losses = []
    for text in texts or ():
        name, _, weight = text.partition(":")
        try:
            losses.append(Loss(name, float(weight or 1)))
        except ValueError:
            raise ValueError(f"loss_type: expected LOSS or LOSS:WEIGHT with a number, got {text!r}") from None
    return tuple(losses) or None


def _or(asked: T | None, default: T) -> T:
    return default if asked is None else asked


def _absolute(folder: str | Path) -> str:
    """Return a folder so that a run finds it from wherever it goes on."""
    return str(Path(folder).absolute())


def _is_same(setting: object, asked: object) -> bool:
    """Return whether an option says what the run has; a folder may be named in another way."""
    if setting == asked:
        return True
    folders = [Path(value) for value in (setting, asked) if isinstance(value, str | Path)]
    return len(folders) == 2 and all(folder.is_dir() for folder in folders) and folders[0].samefile(folders[1])


def _said(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
