"""Guards found by search, in a domain that is not about driving."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from waits import wait, waits_of

from verilora.finetune.evaluation.guards import GuardSearch
from verilora.specs.domain import Domain
from verilora.specs.logic import Formula
from verilora.specs.recorded_waits import recorded_waits_path, write_recorded_waits
from verilora.specs.rulebook import Rule, Rulebook
from verilora.specs.task import Task
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind

ABSTRACT = Settings(world=WorldKind.ABSTRACT, witnesses=False)
RULES = ("G(tank_empty -> !open_valve)", "G(frost -> !open_valve)")


def search_under(domain: Domain, *formulas: str) -> GuardSearch:
    rules = tuple(Rule(id=f"rule_{n}", formula=Formula(text), english="") for n, text in enumerate(formulas))
    return GuardSearch(Verifier(domain, Rulebook(name="small", description="", rules=rules), ABSTRACT))


@pytest.fixture(scope="module")
def task(greenhouse: Domain) -> Task:
    return greenhouse.task("water-glasshouse")


def test_the_guard_of_a_book_is_what_its_rules_forbid(greenhouse: Domain, task: Task) -> None:
    search = search_under(greenhouse, *RULES)
    steps = search.guarded([task])
    verdict = search.verifier.verify_text(steps, task)
    assert (verdict.all_kept, verdict.num_steps) == (True, 2)
    assert "no frost" in steps
    assert search.verifier.verify_text(search.reference([task]), task).all_kept


def test_the_blind_answer_looks_at_nothing(greenhouse: Domain, task: Task) -> None:
    search = search_under(greenhouse, *RULES)
    steps = search.blind([task])
    assert "wait" not in steps
    verdict = search.verifier.verify_text(steps, task)
    assert (verdict.gates_kept, verdict.compliance) == (True, 0)


def test_one_guard_is_a_compromise_where_worlds_ask_for_different_ones(greenhouse: Domain, task: Task) -> None:
    """One world wants frost before it waters, the other none: one answer keeps half of what two keep."""
    frosty = Rule(id="a", formula=Formula("G(!frost -> !open_valve)"), english="", presumes=("door_open",))
    mild = Rule(id="b", formula=Formula("G(frost -> !open_valve)"), english="", presumes=())
    bench = replace(greenhouse.task("water-seedling-bench"), id="bench")
    search = GuardSearch(Verifier(greenhouse, Rulebook(name="x", description="", rules=(frosty,)), ABSTRACT))
    assert search.verifier.verify_text(search.guarded([task]), task).compliance == 1
    both = GuardSearch(Verifier(greenhouse, Rulebook(name="x", description="", rules=(frosty, mild)), ABSTRACT))
    alone = both.verifier.verify_text(both.guarded([bench]), bench)
    steps = both.guarded([task, bench])
    shared = [both.verifier.verify_text(steps, one).compliance for one in (task, bench)]
    assert alone.compliance == 1
    assert sum(share or 0.0 for share in shared) == 1.5


def test_tasks_that_differ_in_what_is_asked_of_waits_are_judged_apart(
    greenhouse: Domain, task: Task, tmp_path: Path
) -> None:
    """The tank is empty every other second: who waits for water is in time where there are two of them."""
    waits = waits_of(greenhouse.vocabulary, wait(greenhouse.vocabulary, *["tank_empty", ""] * 4), world=task.world)
    folder = Path(shutil.copytree(greenhouse.folder, tmp_path / "greenhouse"))
    write_recorded_waits(recorded_waits_path(folder, task.world), waits)
    dry = Rule(id="dry", formula=Formula("G(tank_empty -> !open_valve)"), english="")
    cold = Rule(id="cold", formula=Formula("G(frost -> !heat)"), english="", weight=2)
    book = Rulebook(name="x", description="", rules=(dry, cold))
    search = GuardSearch(Verifier(replace(greenhouse, folder=folder), book, Settings(witnesses=False)))
    patient, hasty = replace(task, limit=2), replace(task, id="hasty", limit=1)
    assert "wait until no empty tank" in search.guarded([patient])
    for tasks in ([patient, hasty], [hasty, patient]):
        assert "wait" not in search.guarded(tasks)


def test_the_search_narrows_a_guard_that_the_rules_do_not_suggest(greenhouse: Domain) -> None:
    """What is forbidden from the second instant on no candidate looks at; what the task turns on tells."""
    bench = greenhouse.task("water-seedling-bench")
    search = search_under(greenhouse, "X G(frost -> !open_valve)")
    steps = search.guarded([bench])
    assert "no frost" in steps
    assert "frost" not in search.reference([bench])
    assert search.verifier.verify_text(steps, bench).compliance == 1
