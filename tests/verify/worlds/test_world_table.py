"""Learned worlds as text: what was never seen but is possible, what is ruled out, and why."""

from io import StringIO

from rich.console import Console

from verilora.specs.learned_world import LearnedWorld, Transition
from verilora.specs.logic import Formula
from verilora.specs.world_description import Exclusion, WorldDescription
from verilora.verify.checking.compiled import Compiler
from verilora.verify.worlds.learned import learned_world, unseen_transitions
from verilora.verify.worlds.learning import learn
from verilora.verify.worlds.world_table import coverage_line, render_learned, ruled_out

from models import TINY

DESCRIPTION = WorldDescription(
    free=("p", "q"),
    constraints=(Formula("G !(p & q)"),),
    constraint_reasons=("there is room for one",),
    exclusions=(Exclusion(formula=Formula("G (p -> X !q)"), reason="q needs time"),),
)


def text(*parts: object) -> str:
    out = StringIO()
    Console(width=200, file=out).print(*parts, sep="\n")
    return out.getvalue()


def small(propositions: tuple[str, ...] = ("p", "q")) -> LearnedWorld:
    """Return a world that saw the start, p, then nothing, then nothing."""
    return learn("here", propositions, [[frozenset({"p"}), frozenset(), frozenset()]], held_out=[[frozenset({"q"})]])


def test_unseen_is_what_nothing_excludes_and_nobody_saw() -> None:
    learned = small()
    world = learned_world(learned, DESCRIPTION, TINY, Compiler())
    unseen = unseen_transitions(learned, world.closure.graph)
    assert {source: set(targets) for source, targets in unseen.items()} == {
        None: {("q",), ()},
        # Not q, which is excluded after p, and never both.
        ("p",): {("p",)},
        ("q",): {("p",), ("q",), ()},
        (): {("p",), ("q",)},
    }


def test_an_exclusion_of_one_step_only_is_followed_state_by_state() -> None:
    description = WorldDescription(
        free=("p", "q"), exclusions=(Exclusion(formula=Formula("G (p -> X X !p)"), reason="one at a time"),)
    )
    learned = small(("p",))
    closure = learned_world(learned, description, TINY, Compiler()).closure
    # p may follow p, though not twice: for some past it may, so it is possible.
    assert ("p",) in unseen_transitions(learned, closure.graph)[("p",)]


def test_reasons_stand_beside_what_they_explain() -> None:
    shown = text(*ruled_out(small(), DESCRIPTION))
    assert shown.splitlines() == [
        "constraint: G !(p & q) (there is room for one)",
        "excluded: G (p -> X !q) (q needs time)",
    ]
    plain = WorldDescription(free=("p", "q"), constraints=(Formula("G !(p & q)"),))
    assert text(*ruled_out(small(), plain)) == "constraint: G !(p & q) (as the world is described)\n"
    assert "nothing is ruled out" in text(*ruled_out(small(), WorldDescription(free=("p", "q"))))


def test_all_parts_are_shown() -> None:
    shown = text(*render_learned(small(), DESCRIPTION, TINY))
    assert "possible but unseen: 8 transitions" in shown
    rows = {tuple(cell.strip() for cell in line.split("  ") if cell.strip()) for line in shown.splitlines()}
    assert ("the start", "1", "100.0% thing p") in rows
    assert ("thing p", "1", "thing p") in rows
    assert "excluded: G (p -> X !q) (q needs time)" in shown
    assert "free" not in shown
    free = WorldDescription(free=("p", "q"))
    assert "free, in any combination at any time: thing q" in text(*render_learned(small(("p",)), free, TINY))


def test_a_world_of_which_all_was_seen_says_so() -> None:
    labels: list[tuple[str, ...] | None] = [None, (), ("p",)]
    steps = [(source, target) for source in labels for target in labels if target is not None]
    every = tuple(Transition(source=source, target=target, count=1) for source, target in steps)
    learned = small(("p",)).model_copy(update={"transitions": every})
    assert "possible but unseen: 0 transitions" in text(*render_learned(learned, WorldDescription(free=("p",)), TINY))


def test_coverage_in_one_line() -> None:
    assert coverage_line(small()) == (
        "1 episodes, 2 of 4 labels, 3 transitions, missing mass 100.00%, 1 of 1 held-out episodes leave it "
        "(at 95 % at most 100.0%)"
    )
