import re
from pathlib import Path
from typing import Any

import pytest

from verilora.finetune.commands.train_options import named, resolve, weighted
from verilora.finetune.run.config import LOSS_TYPES, Algorithm, Budget, TrainConfig
from verilora.verify.records.verdict import Mode
from verilora.verify.worlds.world import WorldKind

DEFAULTS: dict[str, Any] = {
    "task": "driving", "specs": Path("specs"), "rulebook": "default", "model": None, "samples": 32, "rounds": 2,
    "world": None, "mode": Mode.GATED, "algorithm": Algorithm.DPO, "seed": 0, "device": "cpu", "temperature": 1.0,
    "top_p": 0.99, "batch_size": 135, "constrained": False, "learning_rate": None, "beta": 0.4, "loss_type": None,
    "epochs": 2.0, "baselines": Budget.SHORT, "shuffle_verdicts": False, "drive_seconds": 110.0, "processes": None,
    "threads": 1,
}  # fmt: skip


def test_paper_mode_counts_rules_in_the_universal_world() -> None:
    config = resolve({**DEFAULTS, "mode": Mode.PAPER})
    assert (config.world, config.pairs.margin) == (WorldKind.UNIVERSAL, 1.0)
    assert resolve(DEFAULTS).world is WorldKind.SIMULATED


def test_losses_go_to_trl_as_they_are() -> None:
    optimiser = resolve({**DEFAULTS, "loss_type": ["ipo", "sft:2.5"]}).optimiser
    assert (optimiser.loss_type, optimiser.loss_weights) == (("ipo", "sft"), (1.0, 2.5))
    with pytest.raises(ValueError, match="expected LOSS or LOSS:WEIGHT with a number, got 'sft:much'"):
        resolve({**DEFAULTS, "loss_type": ["sft:much"]})
    with pytest.raises(ValueError, match=r"loss_type: expected one of sigmoid, .*, got 'sigmoit'"):
        resolve({**DEFAULTS, "loss_type": ["sigmoit"]})
    for weight in ("-3", "0", "nan", "inf"):
        with pytest.raises(ValueError, match="loss_weights: expected more than 0 and finite, got"):
            resolve({**DEFAULTS, "loss_type": [f"sft:{weight}"]})


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
        ("learning_rate", 0.0, "learning_rate: expected more than 0"),
        ("learning_rate", float("nan"), "learning_rate: expected more than 0"),
    ],
)
def test_values_that_cannot_be_are_named(option: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve({**DEFAULTS, option: value})


def test_options_that_exclude_each_other_are_refused_before_anything_is_sampled() -> None:
    with pytest.raises(ValueError, match=r"^paper mode judges all runs of the universal world"):
        resolve({**DEFAULTS, "mode": "paper", "world": "simulated"})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("samples", 8),
        ("beta", 0.1),
        ("epochs", 1.0),
        ("loss_type", ["sigmoid"]),
        ("shuffle_verdicts", True),
        ("constrained", True),
    ],
)
def test_options_that_grpo_does_not_have_are_refused(option: str, value: object) -> None:
    assert resolve({**DEFAULTS, option: value}).algorithm is Algorithm.DPO
    with pytest.raises(ValueError, match=rf"^{option}: expected dpo as the algorithm, got grpo, for which"):
        resolve({**DEFAULTS, "algorithm": "grpo", option: value})


def test_a_run_remembers_its_options() -> None:
    config = TrainConfig.from_json(resolve({**DEFAULTS, "seed": 5, "loss_type": ["ipo"]}).to_json())
    remembered = named(config)
    assert (remembered["seed"], remembered["loss_type"]) == (5, ["ipo:1"])
    assert weighted(["ipo", "sft:64.0"]) == ["ipo:1", "sft:64"]
    assert {**DEFAULTS, **remembered}.keys() == DEFAULTS.keys()


def test_folders_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    config = resolve({**DEFAULTS, "model": "base"})
    assert (config.specs, config.model) == (str(tmp_path / "specs"), str(tmp_path / "base"))
    assert resolve({**DEFAULTS, "model": "someone/somewhere"}).model == "someone/somewhere"


def test_a_configuration_that_is_none_is_named() -> None:
    content = resolve(DEFAULTS).to_json()
    with pytest.raises(ValueError, match=r"optimiser\.epochs: Input should be a valid number"):
        TrainConfig.from_json({**content, "optimiser": {**content["optimiser"], "epochs": "many"}})
    del content["top_p"]
    with pytest.raises(ValueError, match="expected the setting top_p, got none"):
        TrainConfig.from_json(content)


def test_words_of_the_command_line_become_what_they_stand_for() -> None:
    config = resolve({**DEFAULTS, "mode": "paper", "algorithm": "grpo", "baselines": "full", "seed": 3})
    assert (config.mode, config.algorithm, config.baselines) == (Mode.PAPER, Algorithm.GRPO, Budget.FULL)
    assert all(type(value) is not str for value in (config.mode, config.algorithm, config.baselines, config.world))
    assert config.settings.mode is Mode.PAPER
