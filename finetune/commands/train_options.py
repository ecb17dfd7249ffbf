"""The options of the command `train`, and the settings of a run that they ask for."""

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ...specs.domain import DEFAULT_RULEBOOK, SHIPPED
from ...specs.rulebook import rulebook_names
from ...verify.records.requirement import Requirement
from ...verify.records.verdict import Mode
from ...verify.verdicts.settings import Settings
from ...verify.worlds.world import WorldKind
from ..run.config import Algorithm, Budget, TrainConfig

DEFAULTS = TrainConfig(task="driving", specs=str(SHIPPED), rulebook=DEFAULT_RULEBOOK, num_processes=os.cpu_count() or 1)
# GRPO makes no pairs, and TRL samples for it, without a grammar.
DPO_ONLY = ("samples", "beta", "epochs", "loss_type", "shuffle_verdicts", "constrained")
# A run goes on with any of these: no result depends on the one, and digests check the other.
FREE_ON_RESUMING = ("processes", "specs", "out")
T = TypeVar("T")


class Loss(NamedTuple):
    """One of TRL's losses and what it weighs."""

    name: str
    weight: float


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
    loss_type: tuple[Loss, ...] | None = None
    epochs: float | None = None
    baselines: Budget | None = None
    shuffle_verdicts: bool | None = None
    drive_seconds: float | None = None
    processes: int | None = None
    threads: int | None = None
    require: tuple[Requirement, ...] | None = None
    keep_worse: bool | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """The options that were asked for, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def resolve(options: TrainOptions, base: TrainConfig = DEFAULTS) -> TrainConfig:
    """Return the settings that options ask for, those of `base` where they do not ask.

    Raises ValueError for one that cannot be.
    """
    algorithm = _or(options.algorithm, base.algorithm)
    unknown = next((name for name in DPO_ONLY if name in options.asked), None)
    if algorithm is Algorithm.GRPO and unknown:
        raise ValueError(f"{unknown}: expected dpo as the algorithm, got grpo, for which there is no such option")
    mode = _or(options.mode, base.mode)
    names, weights = base.optimiser.loss_type, base.optimiser.loss_weights
    if options.loss_type:
        names, weights = zip(*options.loss_type, strict=True)
    return replace(
        base,
        task=_or(options.task, base.task),
        specs=_absolute(options.specs) if options.specs else base.specs,
        rulebook=_or(options.rulebook, base.rulebook if mode is base.mode else _rulebook_of(mode, options, base)),
        model=_model(options.model) if options.model else base.model,
        world=options.world or (base.world if mode is base.mode else Settings.of(mode).world),
        mode=mode,
        seed=_or(options.seed, base.seed),
        device=_or(options.device, base.device),
        samples=_or(options.samples, base.samples),
        temperature=_or(options.temperature, base.temperature),
        top_p=_or(options.top_p, base.top_p),
        constrained=_or(options.constrained, base.constrained),
        batch_size=_or(options.batch_size, base.batch_size),
        rounds=_or(options.rounds, base.rounds),
        algorithm=algorithm,
        require=_or(options.require, base.require),
        keep_worse=_or(options.keep_worse, base.keep_worse),
        baselines=_or(options.baselines, base.baselines),
        num_processes=_or(options.processes, base.num_processes),
        num_threads=_or(options.threads, base.num_threads),
        pairs=replace(
            base.pairs,
            # In paper mode it is counted in rules.
            margin=1.0 if mode is Mode.PAPER else base.pairs.margin,
            shuffle=_or(options.shuffle_verdicts, base.pairs.shuffle),
        ),
        optimiser=replace(
            base.optimiser,
            learning_rate=_or(options.learning_rate, base.optimiser.learning_rate),
            beta=_or(options.beta, base.optimiser.beta),
            epochs=_or(options.epochs, base.optimiser.epochs),
            loss_type=names,
            loss_weights=weights,
        ),
        evaluation=replace(base.evaluation, drive_seconds=_or(options.drive_seconds, base.evaluation.drive_seconds)),
    )


def resumed(options: TrainOptions, config: TrainConfig) -> TrainConfig:
    """Return the settings with which a run goes on: its own, on as many processes as are asked for.

    Raises ValueError for an option that asks for something else than the run has.
    """
    for name, value in options.asked.items():
        if name in FREE_ON_RESUMING:
            continue
        alone = _leaves(resolve(TrainOptions(**{name: value}), config).to_json())
        changed = {leaf: (was, alone[leaf]) for leaf, was in _leaves(config.to_json()).items() if was != alone[leaf]}
        if changed and not any(_is_same_folder(*pair) for pair in changed.values()):
            # An option may change more than the setting of its name.
            of_its_name = (pair for leaf, pair in changed.items() if leaf.rpartition(".")[2] == name)
            was, got = next(of_its_name, next(iter(changed.values())))
            raise ValueError(f"a run goes on with its own settings: {name} is {was}, got {got}")
    specs = _absolute(options.specs) if options.specs else config.specs
    return replace(config, num_processes=_or(options.processes, config.num_processes), specs=specs)


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


def _rulebook_of(mode: Mode, options: TrainOptions, base: TrainConfig) -> str:
    """Return the book that a mode takes where none is named."""
    folder = Path(options.specs or base.specs) / _or(options.task, base.task) / "rulebooks"
    return mode.rulebook(rulebook_names(folder))


def _or(asked: T | None, default: T) -> T:
    return default if asked is None else asked


def _absolute(folder: str | Path) -> str:
    """Return a folder so that a run finds it from wherever it goes on."""
    return str(Path(folder).absolute())


def _model(name: str) -> str:
    return _absolute(name) if Path(name).is_dir() else name


def _leaves(settings: dict[str, Any], group: str = "") -> dict[str, Any]:
    """Return settings under dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _leaves(value, f"{group}{name}.") if isinstance(value, dict) else {group + name: value}
    return found


def _is_same_folder(one: object, other: object) -> bool:
    """Return whether two settings are the same folder under different names."""
    folders = [Path(value) for value in (one, other) if isinstance(value, str) and Path(value).is_dir()]
    return len(folders) == 2 and folders[0].samefile(folders[1])
