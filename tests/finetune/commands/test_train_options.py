import re
from pathlib import Path
from typing import Any

import pytest

from verilora.finetune.commands.train_options import (
    DEFAULTS,
    Loss,
    TrainOptions,
    parse_losses,
    resolve,
    resumed,
)
from verilora.finetune.run.config import LOSS_TYPES, Algorithm, TrainConfig
from verilora.verify.records.verdict import Mode
from verilora.verify.worlds.world import WorldKind


def test_what_is_not_asked_for_is_as_the_settings_have_it() -> None:
    config = resolve(TrainOptions())
    assert config == DEFAULTS


def test_paper_mode_counts_rules_in_the_universal_world() -> None:
    config = resolve(TrainOptions(mode=Mode.PAPER))
    assert (config.world, config.pairs.margin) == (WorldKind.UNIVERSAL, 1.0)
    assert config.settings.mode is Mode.PAPER
    assert config.rulebook == "paper"
    assert resolve(TrainOptions(mode=Mode.PAPER, rulebook="default")).rulebook == "default"
    assert resolve(TrainOptions(mode=Mode.GATED), config).rulebook == "default"


def test_paper_mode_takes_the_default_book_of_a_domain_without_a_papers() -> None:
    config = resolve(TrainOptions(mode=Mode.PAPER, task="greenhouse", specs=Path("tests/data").absolute()))
    assert config.rulebook == "default"


def test_losses_go_to_trl_as_they_are() -> None:
    optimiser = resolve(TrainOptions(loss_type=parse_losses(["ipo", "sft:2.5"]))).optimiser
    assert (optimiser.loss_type, optimiser.loss_weights) == (("ipo", "sft"), (1.0, 2.5))
    with pytest.raises(ValueError, match="expected LOSS or LOSS:WEIGHT with a number, got 'sft:much'"):
        parse_losses(["sft:much"])
    with pytest.raises(ValueError, match=r"loss_type: expected one of sigmoid, .*, got 'sigmoit'"):
        resolve(TrainOptions(loss_type=parse_losses(["sigmoit"])))
    for weight in ("-3", "0", "nan", "inf"):
        with pytest.raises(ValueError, match="loss_weights: expected more than 0 and finite, got"):
            resolve(TrainOptions(loss_type=parse_losses([f"sft:{weight}"])))


def test_losses_are_those_of_trl() -> None:
    from trl import DPOConfig

    described = re.search(r"loss_type \(.*?Possible values are: (.*?)\. If", str(DPOConfig.__doc__), re.DOTALL)
    assert described
    assert set(re.findall(r"'(\w+)'", described[1])) == set(LOSS_TYPES)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("samples", 0, "samples: expected more than 0 and finite, got 0"),
        ("temperature", -1.0, "temperature: expected more than 0"),
        ("top_p", 1.5, "top_p: expected more than 0 up to 1, got 1.5"),
        ("epochs", 0.0, "epochs: expected more than 0"),
        ("beta", -0.1, "beta: expected more than 0"),
        ("temperature", float("inf"), "temperature: expected more than 0"),
        ("drive_seconds", float("inf"), "drive_seconds: expected 0 or more and finite, got inf"),
        ("learning_rate", 0.0, "learning_rate: expected more than 0"),
        ("learning_rate", float("nan"), "learning_rate: expected more than 0"),
    ],
)
def test_values_that_cannot_be_are_named(option: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(TrainOptions(**{option: value}))


def test_options_that_exclude_each_other_are_refused_before_anything_is_sampled() -> None:
    with pytest.raises(ValueError, match=r"^paper mode judges all runs of the universal world"):
        resolve(TrainOptions(mode=Mode.PAPER, world=WorldKind.SIMULATED))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("samples", 8),
        ("beta", 0.1),
        ("epochs", 1.0),
        ("beta", DEFAULTS.optimiser.beta),
        ("samples", DEFAULTS.samples),
        ("loss_type", (Loss("sigmoid", 1.0),)),
        ("shuffle_verdicts", True),
        ("constrained", True),
    ],
)
def test_options_that_grpo_does_not_have_are_refused(option: str, value: Any) -> None:
    """Also where they say what is the default: what counts is that they were asked for."""
    assert resolve(TrainOptions(**{option: value})).algorithm is Algorithm.DPO
    with pytest.raises(ValueError, match=rf"^{option}: expected dpo as the algorithm, got grpo, for which"):
        resolve(TrainOptions(algorithm=Algorithm.GRPO, **{option: value}))


def test_a_run_goes_on_with_its_own_settings(tmp_path: Path) -> None:
    config = TrainConfig.from_json(
        resolve(TrainOptions(seed=5, mode=Mode.PAPER, loss_type=(Loss("ipo", 1.0),))).to_json()
    )
    assert resumed(TrainOptions(), config) == config
    assert resumed(TrainOptions(seed=5, mode=Mode.PAPER, loss_type=parse_losses(["ipo:1.0"])), config) == config
    free = resumed(TrainOptions(processes=99, specs=tmp_path), config)
    assert (free.num_processes, free.specs) == (99, str(tmp_path))
    with pytest.raises(ValueError, match=r"own settings: seed is 5, got 0$"):
        resumed(TrainOptions(seed=0), config)
    for options, message in (
        (
            TrainOptions(loss_type=parse_losses(["sigmoid", "sft:2"])),
            r"loss_type is \('ipo',\), got \('sigmoid', 'sft'\)",
        ),
        (TrainOptions(mode=Mode.GATED), "mode is paper, got gated"),
        (TrainOptions(beta=0.5), "beta is 0.4, got 0.5"),
        (TrainOptions(shuffle_verdicts=True), "shuffle_verdicts is False, got True"),
        (TrainOptions(drive_seconds=5.0), "drive_seconds is 110.0, got 5.0"),
        (TrainOptions(threads=4), "threads is 1, got 4"),
        (TrainOptions(algorithm=Algorithm.GRPO, beta=0.4), "algorithm is dpo, got grpo"),
    ):
        with pytest.raises(ValueError, match=f"own settings: {message}$"):
            resumed(options, config)


def test_folders_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    config = resolve(TrainOptions(specs=Path("specs"), model="base"))
    assert (config.specs, config.model) == (str(tmp_path / "specs"), str(tmp_path / "base"))
    assert resolve(TrainOptions(model="someone/somewhere")).model == "someone/somewhere"


def test_a_configuration_that_is_none_is_named() -> None:
    content = DEFAULTS.to_json()
    with pytest.raises(ValueError, match=r"optimiser\.epochs: Input should be a valid number"):
        TrainConfig.from_json({**content, "optimiser": {**content["optimiser"], "epochs": "many"}})
    del content["top_p"]
    with pytest.raises(ValueError, match="expected the setting top_p, got none"):
        TrainConfig.from_json(content)
