"""The options of the command `train` as the settings of a run."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...verify.records.verdict import Mode
from ...verify.worlds.world import WorldKind
from ..run.config import Algorithm, EvaluationConfig, OptimiserConfig, PairConfig, TrainConfig

NAMED_ALIKE = (
    "rulebook", "model", "mode", "seed", "device", "samples", "temperature", "top_p", "batch_size", "constrained",
    "rounds", "algorithm", "baselines",
)  # fmt: skip
# GRPO makes no pairs, and TRL samples for it, without a grammar.
DPO_ONLY = ("samples", "beta", "epochs", "loss_type", "shuffle_verdicts", "constrained")


def resolve(options: Mapping[str, Any]) -> TrainConfig:
    """Return the settings that options of the command line ask for; raises ValueError for one that cannot be."""
    # A command's context holds the words of the command line, not yet what they stand for.
    mode = Mode(options["mode"])
    pairs = PairConfig(shuffle=options["shuffle_verdicts"])
    if mode is Mode.PAPER:
        # Counted in rules.
        pairs = replace(pairs, margin=1.0)
    optimiser = OptimiserConfig(learning_rate=options["learning_rate"], beta=options["beta"], epochs=options["epochs"])
    if options["loss_type"]:
        names, weights = _losses(options["loss_type"])
        optimiser = replace(optimiser, loss_type=names, loss_weights=weights)
    config = TrainConfig(
        task=options["task"],
        specs=_absolute(options["specs"]),
        world=options["world"] or (WorldKind.UNIVERSAL if mode is Mode.PAPER else WorldKind.SIMULATED),
        num_processes=options["processes"] or os.cpu_count() or 1,
        num_threads=options["threads"],
        pairs=pairs,
        optimiser=optimiser,
        evaluation=EvaluationConfig(drive_seconds=options["drive_seconds"]),
        **{name: options[name] for name in NAMED_ALIKE},
    )
    if config.model and Path(config.model).is_dir():
        config = replace(config, model=_absolute(config.model))
    config = TrainConfig.from_json(config.to_json())
    if config.algorithm is Algorithm.GRPO:
        _refuse_options_of_dpo(config)
    return config


def named(config: TrainConfig) -> dict[str, Any]:
    """Return the settings of a run under the names and in the form that the options of the command line have."""
    optimiser = config.optimiser
    return {
        **{name: getattr(config, name) for name in (*NAMED_ALIKE, "task", "world")},
        "learning_rate": optimiser.learning_rate,
        "beta": optimiser.beta,
        "epochs": optimiser.epochs,
        "loss_type": _weighted(optimiser.loss_type, optimiser.loss_weights),
        "shuffle_verdicts": config.pairs.shuffle,
        "drive_seconds": config.evaluation.drive_seconds,
        "threads": config.num_threads,
    }


def weighted(losses: Sequence[str]) -> list[str]:
    """Return losses as `named` has them, of which each has a weight; raises ValueError."""
    return _weighted(*_losses(losses))


def _absolute(folder: str | Path) -> str:
    """Return a folder so that a run finds it from wherever it goes on."""
    return str(Path(folder).absolute())


def _refuse_options_of_dpo(config: TrainConfig) -> None:
    asked = named(config)
    default = named(TrainConfig(task=config.task, specs=config.specs, rulebook=config.rulebook))
    changed = next((name for name in DPO_ONLY if asked[name] != default[name]), None)
    if changed:
        raise ValueError(f"{changed}: expected dpo as the algorithm, got grpo, for which there is no such option")


def _weighted(names: Sequence[str], weights: Sequence[float]) -> list[str]:
    return [f"{name}:{weight:g}" for name, weight in zip(names, weights, strict=True)]


def _losses(texts: Sequence[str]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return TRL's loss types and weights from LOSS or LOSS:WEIGHT; raises ValueError."""
    names, weights = [], []
    for text in texts:
        name, _, weight = text.partition(":")
        try:
            weights.append(float(weight or 1))
        except ValueError:
            raise ValueError(f"loss_type: expected LOSS or LOSS:WEIGHT with a number, got {text!r}") from None
        names.append(name)
    return tuple(names), tuple(weights)
