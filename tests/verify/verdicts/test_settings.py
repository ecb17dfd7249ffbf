"""Settings of verdicts, and what a mode makes of controllers and gates."""

from dataclasses import replace
from typing import Any

import pytest

from verilora.specs.domain import Domain
from verilora.synth.controllers.controller import Ending, Reading
from verilora.verify.checking.check import Runs
from verilora.verify.records.verdict import Mode
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind

from controllers import AFTER, task_in

TASK = task_in("traffic_light")
ABSTRACT = Settings(world=WorldKind.ABSTRACT)
ONE_SHOT = Reading(ending=Ending.ONE_SHOT)


def test_a_mode_has_its_own_world_and_runs(driving: Domain) -> None:
    gated, paper = Settings.of(Mode.GATED), Settings.of(Mode.PAPER)
    assert (gated.world, gated.runs, gated.is_timed) == (WorldKind.SIMULATED, Runs.CHAIN, True)
    assert (paper.world, paper.runs, paper.is_timed) == (WorldKind.UNIVERSAL, Runs.ALL, False)
    assert not replace(gated, world=WorldKind.ABSTRACT).is_timed
    assert [name for name, _ in gated.gates(TASK, driving.vocabulary)] == ["goal", "progress"]
    assert paper.gates(TASK, driving.vocabulary) == ()


def test_paper_mode_idles_after_the_last_step(driving: Domain) -> None:
    ending = Verifier(driving, settings=replace(ABSTRACT, reading=ONE_SHOT)).read(AFTER)
    assert ending.end is not None
    assert ABSTRACT.judged(ending) == ending
    assert Settings.of(Mode.PAPER).judged(ending) == replace(ending, end=None)


@pytest.mark.parametrize("others", [{"world": WorldKind.SIMULATED}, {"runs": Runs.CHAIN}])
def test_paper_mode_judges_no_other_world_and_runs(others: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^paper mode judges all runs of the universal world"):
        Settings.of(Mode.PAPER, **others)


def test_one_shot_is_judged_by_its_goal_alone(driving: Domain) -> None:
    settings = Settings(world=WorldKind.ABSTRACT, reading=Reading(ending=Ending.ONE_SHOT))
    verdict = Verifier(driving, driving.rulebook(), settings).verify_text(AFTER, TASK)
    assert [gate.name for gate in verdict.gates] == ["goal"]


@pytest.mark.parametrize("name", ["time_limit", "deadline"])
@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_limit_is_positive_and_finite(name: str, seconds: float) -> None:
    with pytest.raises(ValueError, match=f"the {name.replace('_', ' ')} must be more than 0 s"):
        Settings(**{name: seconds})
