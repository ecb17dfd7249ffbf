"""How probably a run keeps a formula: tiny chains by hand, random ones by enumeration, and Storm."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.specs.domain import Domain
from verilora.specs.learned_world import Label, LearnedWorld, Transition
from verilora.specs.logic import Formula
from verilora.specs.world_description import Exclusion, WorldDescription
from verilora.synth.controllers.controller import Controller, Edge, always
from verilora.verify.checking.compiled import Compiler
from verilora.verify.checking.trace import TraceChecker, TraceStatus
from verilora.verify.worlds.learning import learn
from verilora.verify.worlds.probability import WeightedWorld

from controllers import guard_of
from models import ACTIONS, PROPOSITIONS, TINY, formulas
from oracle import Letter, all_letters, holds, is_bad_prefix
from strategies import controllers

KEPT, PENDING, VIOLATED = TraceStatus.KEPT, TraceStatus.PENDING, TraceStatus.VIOLATED
FREE = WorldDescription(free=PROPOSITIONS)
REST = always("rest", TINY)
EXCLUSIONS = ("true", "true", "G !(p & q)", "G (p -> X !p)", "G ((p & X p) -> XX q)")


def chain(
    names: str, counts: dict[tuple[Label | None, Label], int], exclusions: tuple[Exclusion, ...] = ()
) -> LearnedWorld:
    return LearnedWorld(
        format=1,
        world="here",
        propositions=tuple(names.split()),
        exclusions=exclusions,
        transitions=tuple(Transition(source=a, target=b, count=count) for (a, b), count in counts.items()),
        coverage={},
        provenance={},
    )


def coin(heads: int, tails: int) -> LearnedWorld:
    """`p` with the same probability at each instant."""
    return chain(
        "p", {(source, label): n for source in (None, (), ("p",)) for label, n in ((("p",), heads), ((), tails))}
    )


def judged(
    learned: LearnedWorld,
    formula: str,
    num_letters: int,
    controller: Controller = REST,
    description: WorldDescription = FREE,
) -> dict[TraceStatus, float]:
    world = WeightedWorld(learned, description, controller.vocabulary, Compiler())
    found = world.status_probabilities(controller, Formula(formula), num_letters)
    assert sum(found.values()) == pytest.approx(1, abs=1e-12)
    return found


def exactly(kept: float = 0, pending: float = 0, violated: float = 0) -> Any:
    return pytest.approx({KEPT: kept, PENDING: pending, VIOLATED: violated}, abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 15])
class TestByHand:
    def test_reachability(self, k: int) -> None:
        assert judged(coin(1, 3), "F p", k) == exactly(kept=1 - 0.75**k, pending=0.75**k)

    def test_safety(self, k: int) -> None:
        assert judged(coin(1, 3), "G !p", k) == exactly(kept=0.75**k, violated=1 - 0.75**k)

    def test_response_is_pending_where_the_last_letter_asks(self, k: int) -> None:
        assert judged(coin(1, 3), "G(p -> F !p)", k) == exactly(kept=0.75, pending=0.25)

    def test_what_must_follow_at_once(self, k: int) -> None:
        """No p after a p: `without` counts the runs so far that end without p, `within` those that end with it."""
        without, within = 0.75, 0.25
        for _ in range(k - 1):
            without, within = (without + within) * 0.75, without * 0.25
        expected = exactly(kept=without + within, violated=1 - without - within)
        assert judged(coin(1, 3), "G(p -> X !p)", k) == expected

    def test_what_is_not_learned_is_a_fair_coin(self, k: int) -> None:
        assert judged(coin(1, 3), "G !(p & q)", k) == exactly(kept=(7 / 8) ** k, violated=1 - (7 / 8) ** k)

    def test_constant_and_absent(self, k: int) -> None:
        here = WorldDescription(free=("p",), constant=("q",))
        assert judged(coin(1, 3), "F (p & q)", k, description=here) == exactly(1 - 0.75**k, 0.75**k)
        assert judged(coin(1, 3), "F q", k, description=WorldDescription(free=("p",))) == exactly(pending=1)

    def test_the_action_belongs_to_the_letter_that_chose_it(self, k: int) -> None:
        p = guard_of("p")
        states = ((Edge(p, "go", 0), Edge(-p, "rest", 0)),)
        controller = Controller(TINY, states, ("the only state",), 1)
        assert judged(coin(1, 3), "G(p <-> go)", k, controller) == exactly(kept=1)
        assert judged(coin(1, 3), "F go", k, controller) == exactly(1 - 0.75**k, 0.75**k)

    def test_constraints_weigh_the_free_valuations_and_not_the_labels(self, k: int) -> None:
        """Behind a label `p` only one value of q is allowed, which makes the label no rarer."""
        here = WorldDescription(free=PROPOSITIONS, constraints=(Formula("G (p -> q)"),))
        assert judged(coin(1, 3), "G !p", k, description=here) == exactly(kept=0.75**k, violated=1 - 0.75**k)
        assert judged(coin(1, 3), "G q", k, description=here) == exactly(0.625**k, violated=1 - 0.625**k)


def test_the_start_has_counts_of_its_own() -> None:
    learned = chain("p", {(None, ()): 9, (None, ("p",)): 1, ((), ()): 1, (("p",), ("p",)): 1})
    assert judged(learned, "F p", 15) == exactly(kept=0.1, pending=0.9)


def test_where_observation_ends_all_that_is_allowed_is_equally_likely() -> None:
    neither = Exclusion(formula=Formula("G !(p & q)"), reason="it is so")
    learned = chain("p q", {(None, ("p",)): 7}, (neither,))
    assert judged(learned, "X p", 2) == exactly(kept=1 / 3, violated=2 / 3)
    assert judged(learned, "X (p | q)", 2) == exactly(kept=2 / 3, violated=1 / 3)
    # Here only the first letter was seen, so each of the four labels is followed by each that is allowed.
    assert judged(learned, "XX p", 3) == exactly(kept=1 / 3, violated=2 / 3)


def test_a_run_has_a_letter() -> None:
    with pytest.raises(ValueError, match="expected at least one letter, got 0"):
        judged(coin(1, 1), "F p", 0)


def letters_after(
    learned: LearnedWorld, description: WorldDescription, path: tuple[Letter, ...]
) -> Iterator[tuple[Letter, float]]:
    """Yield each letter that can follow a path with its probability, letter by letter from the definition."""
    constraints = [*description.constraints, *(exclusion.formula for exclusion in learned.exclusions)]
    absent = {*PROPOSITIONS} - {*description.free, *description.constant}
    by_label = defaultdict(list)
    for letter in all_letters(PROPOSITIONS):
        exists = letter >= {*description.constant} and not letter & absent
        if exists and not any(is_bad_prefix(constraint, (*path, letter)) for constraint in constraints):
            by_label[letter & {*learned.propositions}].append(letter)
    last = path[-1] & {*learned.propositions} if path else None
    counts: Counter[Letter] = Counter()
    for transition in learned.transitions:
        if (None if transition.source is None else frozenset(transition.source)) == last:
            counts[frozenset(transition.target)] += transition.count
    weights = {label: counts[label] for label in by_label if counts[label]} or dict.fromkeys(by_label, 1)
    for label, weight in weights.items():
        for letter in by_label[label]:
            yield letter, weight / sum(weights.values()) / len(by_label[label])


@st.composite
def places(draw: st.DrawFn) -> tuple[LearnedWorld, WorldDescription]:
    """Chains counted in a few short episodes that keep the exclusion, with q learned, free, constant or absent."""
    names, q = draw(st.sampled_from([("p q", "free"), ("p", "free"), ("p", "constant"), ("p", "absent")]))
    free = tuple(name for name in PROPOSITIONS if name == "p" or q == "free")
    constraint = Formula(draw(st.sampled_from(EXCLUSIONS)) if q == "free" else "true")
    letters = st.sampled_from(all_letters(names.split()))
    episodes = draw(st.lists(st.lists(letters, min_size=1, max_size=5), min_size=1, max_size=4))
    kept = [episode for episode in episodes if not is_bad_prefix(constraint, episode)] or [[frozenset[str]()]]
    excluded = (Exclusion(formula=constraint, reason=""),) if names == "p q" else ()
    description = WorldDescription(
        free=free, constant=("q",) if q == "constant" else (), constraints=() if excluded else (constraint,)
    )
    return learn("here", names.split(), kept, excluded), description


@settings(max_examples=60)
@given(places(), controllers(TINY), formulas((*PROPOSITIONS, *ACTIONS)), st.integers(1, 3))
def test_as_the_enumeration_of_all_runs(
    place: tuple[LearnedWorld, WorldDescription], controller: Controller, formula: Formula, num_letters: int
) -> None:
    learned, description = place
    paths: list[tuple[tuple[Letter, ...], tuple[Letter, ...], int, float]] = [((), (), 0, 1.0)]
    for _ in range(num_letters):
        longer = []
        for path, trace, state, probability in paths:
            for letter, share in letters_after(learned, description, path):
                edge = controller.react(state, letter)
                full = letter | {edge.action}
                longer.append(((*path, letter), (*trace, full), edge.target, probability * share))
        paths = longer
    checker = TraceChecker({"rule": formula}, Compiler())
    expected = dict.fromkeys(TraceStatus, 0.0)
    for _, trace, _, probability in paths:
        expected[checker.statuses(trace)["rule"]] += probability
    world = WeightedWorld(learned, description, controller.vocabulary, Compiler())
    found = world.status_probabilities(controller, formula, num_letters)
    assert found == pytest.approx(expected, abs=1e-9)


LEARNED = ("car_from_left", "car_from_right", "green_traffic_light", "opposite_car")
UNKNOWN = "pedestrian_in_front"


class TestStorm:
    """Four propositions learned and one free, a controller of five states, judged by another model checker."""

    @pytest.fixture
    def learned(self) -> LearnedWorld:
        labels = [tuple(name for name in LEARNED if name in letter) for letter in all_letters(LEARNED)]
        counts: dict[tuple[Label | None, Label], int] = {(None, label): 1 + row for row, label in enumerate(labels)}
        for row, source in enumerate(labels):
            following = {(source, target): (3 * row + 5 * column) % 7 for column, target in enumerate(labels)}
            counts |= {step: count for step, count in following.items() if count}
        return chain(" ".join(LEARNED), counts)

    @pytest.fixture
    def controller(self, driving: Domain) -> Controller:
        """Look three times, go straight on at green, then turn right whatever comes."""
        clear, green = guard_of(f"!car_from_left & !{UNKNOWN}"), guard_of("green_traffic_light")
        looks = tuple((Edge(clear, "stop", state + 1), Edge(-clear, "stop", 0)) for state in range(3))
        states = (
            *looks,
            (Edge(green, "go_straight", 4), Edge(-green, "stop", 3)),
            (Edge(guard_of("1"), "turn_right", 0),),
        )
        return Controller(driving.vocabulary, states, tuple("abcde"), 5)

    def model(self, stormpy: Any, learned: LearnedWorld, controller: Controller, target: Formula) -> Any:
        """Return the Markov chain over a start, then each letter with its action and the state that reacts next."""
        free = (frozenset[str](), frozenset({UNKNOWN}))
        numbers: dict[tuple[Letter, int] | None, int] = {None: 0}
        rows: list[dict[int, float]] = []
        marked = []
        frontier: list[tuple[Letter, int] | None] = [None]
        for node in frontier:
            letter, state = node or (frozenset(), 0)
            source = tuple(name for name in learned.propositions if name in letter) if node else None
            going = [transition for transition in learned.transitions if transition.source == source]
            row: dict[int, float] = defaultdict(float)
            for transition in going:
                for unknown in free:
                    seen = unknown.union(transition.target)
                    edge = controller.react(state, seen)
                    following = (seen | {edge.action}, edge.target)
                    if following not in numbers:
                        numbers[following] = len(numbers)
                        frontier.append(following)
                    row[numbers[following]] += transition.count / sum(one.count for one in going) / 2
            rows.append(row)
            if node and holds(target, [], [letter]):
                marked.append(numbers[node])
        builder = stormpy.datastructures.SparseMatrixBuilder[float]()
        for number, row in enumerate(rows):
            for column, share in sorted(row.items()):
                builder.add_next_value(number, column, share)
        labeling = stormpy.models.StateLabeling(len(rows))
        labeling.add_label("init")
        labeling.add_label_to_state("init", 0)
        labeling.add_label("target")
        for number in marked:
            labeling.add_label_to_state("target", number)
        components = stormpy.models.SparseModelComponents[float](builder.build(), labeling)
        return stormpy.models.SparseDtmc[float](components)

    @pytest.mark.parametrize("k", [1, 5, 15])
    @pytest.mark.parametrize(
        "target",
        [f"{UNKNOWN} & turn_right", "car_from_left & turn_right", "go_straight & opposite_car", "turn_right"],
    )
    def test_safety_and_reachability(
        self, driving: Domain, learned: LearnedWorld, controller: Controller, target: str, k: int
    ) -> None:
        stormpy = pytest.importorskip("stormpy")
        model = self.model(stormpy, learned, controller, Formula(target))
        (query,) = stormpy.parse_properties(f'P=? [ F<={k} "target" ]')
        reached = stormpy.model_checking(model, query).get_value(0)
        here = driving.worlds["traffic_light"]
        assert judged(learned, f"F ({target})", k, controller, here) == pytest.approx(
            {KEPT: reached, PENDING: 1 - reached, VIOLATED: 0}, abs=1e-9
        )
        assert judged(learned, f"G !({target})", k, controller, here) == pytest.approx(
            {KEPT: 1 - reached, PENDING: 0, VIOLATED: reached}, abs=1e-9
        )
