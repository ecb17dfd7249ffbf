"""What the linter says of rulebooks: the shipped ones, and ones with something wrong."""

from collections.abc import Callable
from functools import cache
from itertools import combinations

import pytest

from verilora.specs.domain import Domain
from verilora.specs.logic import Formula
from verilora.specs.rulebook import Rule, Rulebook
from verilora.verify.checking.check import Runs
from verilora.verify.realizability.ltl_game import LtlGame
from verilora.verify.records.verdict import Status
from verilora.verify.rulebooks.lint import Linter, Reach, WorldLint, problems
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind

from controllers import task_in

WORLDS = ("universal", "traffic_light", "left_turn_light", "two_way_stop", "wide_median", "roundabout")
BOOKS = (
    "default",
    *(pytest.param(book, marks=pytest.mark.slow) for book in ("paper", "no-right-on-red", "author-smv")),
)
Linted = Callable[[str], dict[str, WorldLint]]


@pytest.fixture(scope="module")
def linted(driving: Domain) -> Linted:
    """A shipped book, by name, in each world; each is examined once."""

    @cache
    def examined(book: str) -> dict[str, WorldLint]:
        linter = Linter(driving, driving.rulebook(book), time_limit=60.0)
        return {world: linter.world(world) for world in WORLDS}

    return examined


def book_of(**formulas: str) -> Rulebook:
    rules = tuple(Rule(id=name, formula=Formula(text), english="") for name, text in formulas.items())
    return Rulebook(name="made-up", description="", rules=rules)


def reach(world: WorldLint, runs: Runs, goal: str | None = None) -> Reach:
    return next(reach for reach in world.reaches if (reach.runs, reach.goal) == (runs, goal))


@pytest.mark.slow
@pytest.mark.parametrize("book", ["paper", "author-smv"])
def test_the_most_rules_that_any_controller_can_keep(linted: Linted, book: str) -> None:
    worlds = linted(book).values()
    assert [reach(world, Runs.ALL).best_count for world in worlds] == [13, 13, 13, 14, 15, 15]
    for runs in (Runs.CHAIN, Runs.FAIR):
        assert [reach(world, runs).best_count for world in worlds] == [15] * 6


@pytest.mark.parametrize("book", BOOKS)
def test_every_combination_of_world_and_manoeuvre_is_realizable(linted: Linted, book: str) -> None:
    for world in WORLDS[1:]:
        gated = [found for found in linted(book)[world].reaches if found.goal and found.runs is not Runs.ALL]
        assert len(gated) == 6
        assert all(found.realizable for found in gated)
        chain = [found for found in gated if found.runs is Runs.CHAIN]
        assert all((found.abstract, found.simulated) == ("satisfied", "satisfied") for found in chain)


def test_the_only_way_to_13_rules_in_the_universal_world_drops_the_red_light_and_the_pedestrian(
    driving: Domain,
) -> None:
    rules = {rule.id: rule.formula for rule in driving.rulebook("paper").rules}
    game = LtlGame(driving.world("universal"), driving.vocabulary, Formula("true"))
    solvable = [
        pair
        for pair in combinations(rules, 2)
        if game.is_winnable([formula for name, formula in rules.items() if name not in pair])
    ]
    assert solvable == [("phi3", "phi14")]


@pytest.mark.parametrize("book", BOOKS)
def test_the_shipped_books_are_fit_for_use(driving: Domain, linted: Linted, book: str) -> None:
    assert problems(Linter(driving, driving.rulebook(book)).rules(), list(linted(book).values())) == []


@pytest.mark.parametrize("runs", [Runs.CHAIN, Runs.FAIR, Runs.ALL])
@pytest.mark.parametrize("world", WORLDS)
def test_reference_controllers_keep_what_they_claim(driving: Domain, linted: Linted, world: str, runs: Runs) -> None:
    verifier = Verifier(driving, driving.rulebook(), Settings(world=WorldKind.ABSTRACT, runs=runs))
    for found in linted("default")[world].reaches:
        if found.runs is not runs or found.controller is None:
            continue
        # It is printed in a form that can be verified as it stands.
        verdict = verifier.verify_text(found.controller, task_in(world, found.goal or "true"))
        assert verdict.valid
        assert {rule.rule_id for rule in verdict.rules if not rule.status.is_kept} == set(found.dropped)
        if found.goal:
            assert verdict.gates_kept


def test_reference_controllers_for_people_are_two_steps(linted: Linted) -> None:
    for world in WORLDS[1:]:
        for found in linted("default")[world].reaches:
            if found.runs is not Runs.ALL:
                assert len((found.controller or "").splitlines()) == 2


def test_what_is_wrong_with_single_rules(driving: Domain) -> None:
    book = book_of(
        impossible="F (turn_left & turn_right)",
        always_true="G (stop | !stop)",
        first="G !turn_left",
        second="G !turn_right",
        # Neither of the two alone implies it.
        both="G (turn_left | turn_right -> go_straight)",
    )
    impossible, always_true, first, second, both = Linter(driving, book).rules()
    assert (impossible.unsatisfiable, impossible.valid) == (True, False)
    assert (always_true.unsatisfiable, always_true.valid) == (False, True)
    # What cannot be kept would imply everything, and everything what always holds, which helps nobody.
    assert [rule.implied_by for rule in (impossible, always_true, first, second)] == [(), (), ("both",), ("both",)]
    assert (both.implied_by, both.implied_jointly_by) == ((), ("first", "second"))


def test_rules_that_cannot_be_kept_together_are_named(driving: Domain) -> None:
    book = book_of(never="G !turn_right", often="GF turn_right", harmless="G !turn_left")
    linter = Linter(driving, book)
    lint = linter.world("traffic_light")
    found = reach(lint, Runs.CHAIN)
    assert (found.realizable, found.clash, found.best_count, found.dropped) == (
        False,
        ("never", "often"),
        2,
        ("never",),
    )
    assert (
        "traffic_light: no controller keeps never, often with no gate; without never one keeps all that is left"
        in problems(linter.rules(), [lint])
    )
    assert problems(Linter(driving, book_of(bad="F (stop & turn_left)")).rules(), []) == [
        "bad cannot be kept at all: F (stop & turn_left) is unsatisfiable"
    ]


LOOKS_BACK = Rule(id="looks_back", formula=Formula("G(pedestrian_in_front -> X !go_straight)"), english="")


def test_a_book_that_only_fairness_cannot_keep_is_fit_for_use(driving: Domain) -> None:
    linter = Linter(driving, driving.rulebook().extended("looking-back", LOOKS_BACK))
    goal = driving.task("straight-at-traffic-light").goal
    prepared = linter.prepare("traffic_light")
    fair, found = linter.reach(prepared, Runs.FAIR, goal), linter.reach(prepared, Runs.CHAIN, goal)
    assert (fair.realizable, fair.dropped) == (False, ("looks_back",))
    assert (found.realizable, found.abstract, found.simulated) == (True, "satisfied", "satisfied")
    assert found.controller is not None
    assert found.controller.splitlines() == [
        "1. wait until green traffic light and no pedestrian in front",
        "2. if green traffic light and no pedestrian in front, go straight, otherwise go to step 1",
    ]
    lint = WorldLint(world="traffic_light", applicable=(), implied=(), reaches=(fair, found))
    assert problems([], [lint]) == []


def test_what_is_not_found_out_in_time_is_no_problem(driving: Domain) -> None:
    linter = Linter(driving, driving.rulebook())
    goal = driving.task("straight-at-traffic-light").goal
    found = linter.reach(linter.prepare("traffic_light"), Runs.CHAIN, goal, seconds=1e-9)
    assert (found.realizable, found.controller) == (None, None)
    assert "deadline" in found.problem or "no result" in found.problem
    assert problems([], [WorldLint(world="traffic_light", applicable=(), implied=(), reaches=(found,))]) == []


def test_a_gate_out_of_reach_is_named(driving: Domain) -> None:
    linter = Linter(driving, book_of(harmless="G !turn_left"))
    found = linter.reach(linter.prepare("traffic_light"), Runs.CHAIN, Formula("F green_left_turn_light"))
    assert (found.realizable, found.best_count) == (False, None)
    lint = WorldLint(world="traffic_light", applicable=(), implied=(), reaches=(found,))
    assert problems([], [lint]) == [
        "traffic_light: no controller can pass the gates of 'F green_left_turn_light', whatever the rules"
    ]


def test_questions_that_take_too_long_are_left_open(driving: Domain) -> None:
    hard = " & ".join(f"GF (green_traffic_light U (stop & {'X' * depth} car_from_left))" for depth in range(1, 14))
    linter = Linter(driving, book_of(hard=hard), time_limit=0.3)
    (rule,) = linter.rules()
    assert "left out of everything that follows: translating" in rule.problem
    assert "no result within 0.3 s" in rule.problem
    assert problems([rule], []) == [f"hard: {rule.problem}"]
    # What is left can still be answered: here there is nothing left but the gates.
    lint = linter.world("traffic_light")
    assert {found.realizable for found in lint.reaches if found.runs is Runs.CHAIN} == {True}


def test_a_domain_that_has_nothing_to_do_with_driving(greenhouse: Domain) -> None:
    linter = Linter(greenhouse, greenhouse.rulebook())
    lints = [linter.world(world) for world in greenhouse.worlds if world != "universal"]
    assert len(linter.rules()) == 5
    assert problems(linter.rules(), lints) == []
    verifier = Verifier(greenhouse, greenhouse.rulebook(), Settings(world=WorldKind.ABSTRACT))
    for lint in lints:
        for found in lint.reaches:
            if found.runs is Runs.CHAIN and found.goal:
                assert found.controller is not None
                assert len(found.controller.splitlines()) <= 8
                verdict = verifier.verify_text(found.controller, task_in(lint.world, found.goal))
                assert verdict.gates_kept
                assert {rule.status for rule in verdict.deciding} == {Status.SATISFIED}
