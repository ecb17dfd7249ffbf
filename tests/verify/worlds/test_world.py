import pytest

from verilora.specs.domain import Domain
from verilora.specs.logic import Formula, spot
from verilora.specs.world_description import WorldDescription
from verilora.verify.checking.compiled import Compiler
from verilora.verify.worlds.world import World, WorldError, WorldKind, abstract_world, explicit_world

from models import PROPOSITIONS, TINY


def world(**fields: object) -> World:
    return abstract_world("here", WorldDescription.model_validate({"free": PROPOSITIONS, **fields}), TINY, Compiler())


def runs_satisfying(some: World, formula: str) -> bool:
    return bool(some.graph.intersects(spot.translate(formula)))


def test_free_constant_and_absent_propositions() -> None:
    some = world(free=["p"])
    assert runs_satisfying(some, "F p & F !p")
    assert not runs_satisfying(some, "F q")
    assert (some.has("p"), some.has("q")) == (True, False)
    assert not runs_satisfying(world(free=["p"], constant=["q"]), "F !q")


def test_constraints_are_compiled_in_and_leave_no_dead_end() -> None:
    some = world(constraints=[Formula("G !(p & q)"), Formula("G (p -> X p)"), Formula("G (q -> X !p)")])
    assert not runs_satisfying(some, "F (p & q)")
    assert runs_satisfying(some, "F p")
    assert all(list(some.graph.out(state)) for state in range(some.graph.num_states()))


def test_constraints_without_a_run_are_an_error() -> None:
    with pytest.raises(WorldError, match=r"^no run satisfies the constraints '\(G p\) & \(G !p\)'"):
        world(constraints=[Formula("G p"), Formula("G !p")])


def test_fairness_without_a_run_is_an_error() -> None:
    with pytest.raises(WorldError, match=r"^no run satisfies the fairness 'GF p & GF q'"):
        world(constraints=[Formula("G !p")], fairness=Formula("GF p & GF q"))


def test_the_explicit_traffic_light_has_a_state_a_letter_and_a_fresh_initial_one(driving: Domain) -> None:
    symbolic = abstract_world("traffic_light", driving.world("traffic_light"), driving.vocabulary, Compiler())
    explicit = explicit_world(symbolic)
    assert symbolic.graph.num_states() == 1
    assert explicit.graph.num_states() == 2**8 + 1
    assert explicit.graph.num_edges() == (2**8 + 1) * 2**8
    assert spot.are_equivalent(symbolic.graph, explicit.graph)


def test_explicit_worlds_with_constraints_have_the_same_runs(driving: Domain) -> None:
    for name in ("wide_median", "roundabout"):
        symbolic = abstract_world(name, driving.world(name), driving.vocabulary, Compiler())
        assert spot.are_equivalent(symbolic.graph, explicit_world(symbolic).graph)


def test_the_universal_world_knows_its_kind(driving: Domain) -> None:
    universal = abstract_world("universal", driving.world("universal"), driving.vocabulary, Compiler())
    assert (universal.kind, len(universal.free)) == (WorldKind.UNIVERSAL, 11)


def test_fairness_that_may_fail_is_an_error() -> None:
    """Synthesis would assume what the chain does not promise."""
    with pytest.raises(WorldError, match="the fairness 'G !p' can fail with positive probability"):
        world(fairness="G !p")
    assert world(fairness="GF p & GF (q & X q)").fairness == Formula("GF p & GF (q & X q)")


def test_worlds_that_take_too_long_are_an_error() -> None:
    hard = " & ".join(f"GF (p U (q & {'X' * depth} p))" for depth in range(1, 14))
    with pytest.raises(WorldError, match=r"no result within 0\.2 s"):
        abstract_world("here", WorldDescription(free=PROPOSITIONS, fairness=Formula(hard)), TINY, Compiler(0.2))
    # Which of the last 16 letters held p: 65536 states.
    hard = f"G (({'X' * 16} p) <-> p)"
    with pytest.raises(WorldError, match=r"no result within 0\.2 s"):
        abstract_world("here", WorldDescription(free=PROPOSITIONS, constraints=(Formula(hard),)), TINY, Compiler(0.2))
