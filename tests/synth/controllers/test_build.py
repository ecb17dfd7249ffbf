"""Machines of steps, some in a table, all against an interpreter of steps."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from verilora.specs.logic import buddy
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.build import build_controller, parse_controller
from verilora.synth.controllers.condition import guard_text
from verilora.synth.controllers.controller import Controller, Ending, Otherwise, Reading
from verilora.synth.controllers.steps import InvalidController, Program

from controllers import guard_of
from oracle import Letter
from step_interpreter import behave, is_timeless, without_first_jumps
from strategies import KETTLE, letters, programs, readings

ALIGNMENT = Alignment(KETTLE)
READINGS = [Reading(ending=ending, otherwise=otherwise) for ending in Ending for otherwise in Otherwise]
PATROL, ONE_SHOT = Reading(), Reading(ending=Ending.ONE_SHOT)
HOT, LID, NOTHING = frozenset({"hot"}), frozenset({"lid"}), frozenset[str]()

# guard, action, target, steps gone through
Row = tuple[str, str, str, tuple[int, ...]]


def parse(text: str, reading: Reading = PATROL) -> Controller:
    return parse_controller(text, ALIGNMENT, reading)


def machine(controller: Controller) -> dict[str, set[Row]]:
    """Return the edges that leave each state, by the names of states."""
    assert len(set(controller.names)) == len(controller.names)
    return {
        name: {
            (guard_text(edge.guard, KETTLE), edge.action, controller.names[edge.target], edge.steps) for edge in edges
        }
        for name, edges in zip(controller.names, controller.states, strict=True)
    }


def words(guard: str) -> str:
    return guard_text(guard_of(guard), KETTLE)


def actions(text: str, word: Iterable[Letter], reading: Reading = PATROL) -> list[str]:
    """Return what the controller of steps does, letter by letter."""
    controller = parse(text, reading)
    state, done = 0, []
    for letter in word:
        edge = controller.react(state, letter)
        state = edge.target
        done.append(edge.action)
    return done


# The step under test is the first of three; the others are "2. heat" and "3. pour". "omitted" is where a step that
# lacks an `otherwise` leads.
FIRST: dict[str, set[Row]] = {
    "pour": {("1", "pour", "step 2", (1,))},
    "rest": {("1", "rest", "step 2", (1,))},
    "observe hot water": {("1", "rest", "step 2", (1,))},
    "observe state of hot water, lid and lid ajar": {("1", "rest", "step 2", (1,))},
    "if hot water, pour": {("hot", "pour", "step 2", (1,)), ("!hot", "rest", "omitted", (1,))},
    "if hot water, rest": {("hot", "rest", "step 2", (1,)), ("!hot", "rest", "omitted", (1,))},
    "if hot water and no lid, pour": {
        ("hot & !lid", "pour", "step 2", (1,)),
        ("!hot | lid", "rest", "omitted", (1,)),
    },
    "if not (hot water or (lid and no lid ajar)), pour": {
        ("!hot & !(lid & !lid_ajar)", "pour", "step 2", (1,)),
        ("hot | (lid & !lid_ajar)", "rest", "omitted", (1,)),
    },
    "if hot water, go to step 3": {("hot", "pour", "step 1", (1, 3)), ("!hot", "rest", "omitted", (1,))},
    "if hot water, pour, otherwise heat": {("hot", "pour", "step 2", (1,)), ("!hot", "heat", "step 2", (1,))},
    "if hot water, pour, otherwise stay": {("hot", "pour", "step 2", (1,)), ("!hot", "rest", "step 1", (1,))},
    "if hot water, pour, otherwise go to step 2": {
        ("hot", "pour", "step 2", (1,)),
        ("!hot", "heat", "step 3", (1, 2)),
    },
    "if hot water, go to step 2, otherwise pour": {
        ("hot", "heat", "step 3", (1, 2)),
        ("!hot", "pour", "step 2", (1,)),
    },
    "if hot water, go to step 3, otherwise stay": {
        ("hot", "pour", "step 1", (1, 3)),
        ("!hot", "rest", "step 1", (1,)),
    },
    "if hot water, go to step 3, otherwise go to step 2": {
        ("hot", "pour", "step 1", (1, 3)),
        ("!hot", "heat", "step 3", (1, 2)),
    },
    "if hot water or no hot water, pour": {("1", "pour", "step 2", (1,))},
    "if hot water and no hot water, pour, otherwise heat": {("1", "heat", "step 2", (1,))},
    "if hot water and no hot water, pour": {("1", "rest", "omitted", (1,))},
    "wait until hot water": {("hot", "rest", "step 2", (1,)), ("!hot", "rest", "step 1", (1,))},
    "wait until hot water then pour": {("hot", "pour", "step 2", (1,)), ("!hot", "rest", "step 1", (1,))},
    "wait until no hot water or lid, then heat": {
        ("!hot | lid", "heat", "step 2", (1,)),
        ("hot & !lid", "rest", "step 1", (1,)),
    },
}


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: f"{reading.ending}-{reading.otherwise}")
@pytest.mark.parametrize("step", FIRST)
def test_machine_of_a_first_step(step: str, reading: Reading) -> None:
    omitted = "step 1" if reading.otherwise == Otherwise.STAY else "step 2"
    end = "step 1" if reading.ending == Ending.PATROL else "the end"
    expected = {
        "step 1": {
            # Step 3 is the last one: what follows it is the end.
            (words(guard), action, end if steps[-1] == 3 else omitted if target == "omitted" else target, steps)
            for guard, action, target, steps in FIRST[step]
        },
        "step 2": {("always", "heat", "step 3", (2,))},
        "step 3": {("always", "pour", end, (3,))},
        "the end": {("always", "rest", "the end", ())},
    }
    built = parse(f"1. {step}\n2. heat\n3. pour", reading)
    assert built.names[0] == "step 1"
    assert built.num_steps == 3
    assert machine(built) == {name: expected[name] for name in reachable(expected, "step 1")}


def reachable(edges: dict[str, set[Row]], start: str) -> list[str]:
    seen = [start]
    for name in seen:
        seen.extend({target for _, _, target, _ in edges[name]}.difference(seen))
    return seen


LAST: dict[str, set[Row]] = {
    "pour": {("1", "pour", "end", (2,))},
    "observe hot water": {("1", "rest", "end", (2,))},
    "if hot water, pour": {("hot", "pour", "end", (2,)), ("!hot", "rest", "omitted", (2,))},
    "if hot water, go to step 1": {("hot", "heat", "step 2", (2, 1)), ("!hot", "rest", "omitted", (2,))},
    "if hot water, pour, otherwise heat": {("hot", "pour", "end", (2,)), ("!hot", "heat", "end", (2,))},
    "if hot water, pour, otherwise stay": {("hot", "pour", "end", (2,)), ("!hot", "rest", "step 2", (2,))},
    "if hot water, pour, otherwise go to step 1": {
        ("hot", "pour", "end", (2,)),
        ("!hot", "heat", "step 2", (2, 1)),
    },
    "wait until hot water": {("hot", "rest", "end", (2,)), ("!hot", "rest", "step 2", (2,))},
    "wait until hot water then pour": {("hot", "pour", "end", (2,)), ("!hot", "rest", "step 2", (2,))},
}


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: f"{reading.ending}-{reading.otherwise}")
@pytest.mark.parametrize("step", LAST)
def test_machine_of_a_last_step(step: str, reading: Reading) -> None:
    end = "step 1" if reading.ending == Ending.PATROL else "the end"
    names = {"omitted": "step 2" if reading.otherwise == Otherwise.STAY else end, "end": end}
    rows = {(words(guard), action, names.get(target, target), steps) for guard, action, target, steps in LAST[step]}
    expected = {
        "step 1": {("always", "heat", "step 2", (1,))},
        "step 2": rows,
        "the end": {("always", "rest", "the end", ())},
    }
    built = parse(f"1. heat\n2. {step}", reading)
    assert machine(built) == {name: expected[name] for name in reachable(expected, "step 1")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "1. go to step 3\n2. heat\n3. pour",
            {"step 3": {("always", "pour", "step 3", (3,))}},
            id="a jump is no state, and the way back leads behind it",
        ),
        pytest.param(
            "1. heat\n2. go to step 4\n3. rest\n4. go to step 1",
            {"step 1": {("always", "heat", "step 1", (1,))}},
            id="jump to a jump",
        ),
        pytest.param(
            "1. if hot water, go to step 2\n2. if lid, go to step 3, otherwise heat\n3. pour",
            {
                "step 1": {
                    (words("hot & lid"), "pour", "step 1", (1, 2, 3)),
                    (words("hot & !lid"), "heat", "step 3", (1, 2)),
                    (words("!hot"), "rest", "step 1", (1,)),
                },
                "step 3": {("always", "pour", "step 1", (3,))},
            },
            id="several steps in one instant see the same letter",
        ),
        pytest.param(
            "1. if hot water, go to step 2, otherwise pour\n2. go to step 3\n"
            "3. if hot water, heat, otherwise go to step 1",
            {
                "step 1": {(words("hot"), "heat", "step 1", (1, 2, 3)), (words("!hot"), "pour", "step 3", (1,))},
                "step 3": {(words("!hot"), "pour", "step 3", (3, 1)), (words("hot"), "heat", "step 1", (3,))},
            },
            id="an unsatisfiable cycle is none",
        ),
        pytest.param(
            "1. if hot water, go to step 3, otherwise go to step 2\n2. if hot water, heat, otherwise pour\n3. pour",
            {
                "step 1": {(words("hot"), "pour", "step 1", (1, 3)), (words("!hot"), "pour", "step 3", (1, 2))},
                "step 3": {("always", "pour", "step 1", (3,))},
            },
            id="a branch that cannot be taken leaves no edge",
        ),
    ],
)
def test_machines_with_jumps(text: str, expected: dict[str, set[Row]]) -> None:
    assert machine(parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "word", "reading", "done"),
    [
        pytest.param("1. heat\n2. pour", [NOTHING] * 4, PATROL, "heat pour heat pour", id="patrol starts again"),
        pytest.param("1. heat\n2. pour", [NOTHING] * 4, ONE_SHOT, "heat pour rest rest", id="one-shot parks"),
        pytest.param(
            "1. observe hot water\n2. if hot water, pour",
            [HOT, NOTHING, HOT, HOT, HOT],
            PATROL,
            "rest rest pour rest pour",
            id="what was observed is stale",
        ),
        pytest.param(
            "1. wait until hot water\n2. if hot water, pour",
            [NOTHING, HOT, NOTHING, HOT],
            PATROL,
            "rest rest rest pour",
            id="waiting takes one instant and its condition is stale afterwards",
        ),
        pytest.param(
            "1. wait until hot water then pour\n2. heat",
            [NOTHING, HOT, NOTHING, HOT],
            PATROL,
            "rest pour heat pour",
            id="wait, then act at once",
        ),
        pytest.param(
            "1. if hot water, pour, otherwise heat\n2. rest",
            [NOTHING, NOTHING, HOT, HOT],
            PATROL,
            "heat rest pour rest",
            id="an action under otherwise goes on",
        ),
        pytest.param(
            "1. if hot water, go to step 2, otherwise go to step 3\n2. if lid, pour\n3. heat",
            [HOT | LID, NOTHING, NOTHING, HOT, LID],
            PATROL,
            "pour heat heat rest pour",
            id="go to takes no time",
        ),
        pytest.param(
            "1. heat\n2. if lid, go to step 1\n3. pour",
            [LID, LID, LID, NOTHING, LID],
            ONE_SHOT,
            "heat heat heat rest heat",
            id="go to step 1 from the middle",
        ),
        pytest.param("1. pour\n2. go to step 1", [NOTHING] * 3, ONE_SHOT, "pour pour pour", id="one-shot with a loop"),
        pytest.param(
            "1. if hot water, pour\n2. heat",
            [NOTHING, NOTHING, HOT],
            Reading(otherwise=Otherwise.ADVANCE),
            "rest heat pour",
            id="an omitted otherwise goes on",
        ),
        pytest.param(
            "1. if hot water, pour, otherwise stay\n2. heat",
            [NOTHING, NOTHING, HOT],
            Reading(otherwise=Otherwise.ADVANCE),
            "rest rest pour",
            id="stay remains in either reading",
        ),
        pytest.param(
            "1. wait until hot water\n2. heat",
            [NOTHING, NOTHING, HOT, HOT],
            Reading(otherwise=Otherwise.ADVANCE),
            "rest rest rest heat",
            id="waiting remains in either reading",
        ),
    ],
)
def test_timing(text: str, word: Sequence[Letter], reading: Reading, done: str) -> None:
    assert actions(text, word, reading) == done.split()


@pytest.mark.parametrize(
    ("text", "position", "cycle"),
    [
        pytest.param("1. go to step 1\n2. pour", 1, "1 → 1", id="to itself"),
        pytest.param("1. pour\n2. go to step 2", 2, "2 → 2", id="last step to itself"),
        pytest.param("1. go to step 2\n2. go to step 1", 1, "1 → 2 → 1", id="two jumps"),
        pytest.param("1. go to step 3\n2. go to step 3\n3. go to step 2", 3, "3 → 2 → 3", id="not through the first"),
        pytest.param("1. observe lid\n2. go to step 3\n3. go to step 2", 2, "2 → 3 → 2", id="only after an observe"),
        pytest.param("1. wait until lid\n2. go to step 2", 2, "2 → 2", id="only after a wait"),
        pytest.param("1. pour\n2. go to step 1\n3. go to step 3", 3, "3 → 3", id="never reached"),
        pytest.param("1. if hot water, go to step 1\n2. pour", 1, "1 → 1", id="if to itself"),
        pytest.param("1. if hot water, pour, otherwise go to step 1\n2. pour", 1, "1 → 1", id="otherwise to itself"),
        pytest.param("1. heat\n2. if hot water, go to step 3\n3. go to step 2", 2, "2 → 3 → 2", id="through an if"),
        pytest.param(
            "1. if hot water, go to step 2, otherwise heat\n2. if lid, go to step 3\n3. if lid ajar, go to step 1",
            1,
            "1 → 2 → 3 → 1",
            id="through three ifs",
        ),
        pytest.param(
            "1. if hot water, go to step 2\n2. if lid, pour, otherwise go to step 1",
            1,
            "1 → 2 → 1",
            id="under otherwise",
        ),
        pytest.param("1. if lid or no lid, go to step 1\n2. heat", 1, "1 → 1", id="condition that always holds"),
    ],
)
@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: f"{reading.ending}-{reading.otherwise}")
def test_a_cycle_that_takes_no_time_is_invalid(text: str, position: int, cycle: str, reading: Reading) -> None:
    with pytest.raises(InvalidController) as caught:
        parse(text, reading)
    assert str(caught.value) == f"step {position}: a cycle takes no time: steps {cycle}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("1. if lid and no lid, go to step 1, otherwise pour\n2. heat", id="condition that never holds"),
        pytest.param("1. if lid, go to step 2\n2. if no lid, go to step 1", id="conditions that exclude each other"),
        pytest.param("1. go to step 2\n2. pour", id="the way back from the last step leads to a jump"),
        pytest.param("1. go to step 2\n2. wait until lid", id="the way back leads to the last step"),
        pytest.param("1. heat\n2. go to step 1", id="cycle that takes time"),
        pytest.param("1. if lid, go to step 2, otherwise stay\n2. observe lid", id="stay takes time"),
    ],
)
@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: f"{reading.ending}-{reading.otherwise}")
def test_other_cycles_are_fine(text: str, reading: Reading) -> None:
    assert parse(text, reading).num_steps == 2


def test_text_that_is_no_steps_is_invalid() -> None:
    with pytest.raises(InvalidController, match=r"^step 2: unknown action: got 'dance'"):
        parse("1. heat\n2. dance")
    with pytest.raises(InvalidController, match=r"^got 3 lines, expected 2 to 2 numbered steps"):
        parse_controller("1. heat\n2. pour\n3. heat", ALIGNMENT, max_steps=2)


@settings(deadline=None, max_examples=400)
@given(programs(KETTLE), st.lists(letters(KETTLE), min_size=1, max_size=12), readings())
def test_controllers_do_what_their_steps_say(program: Program, word: list[Letter], reading: Reading) -> None:
    if is_timeless(program, reading):
        event("a cycle takes no time")
        with pytest.raises(InvalidController, match="a cycle takes no time"):
            build_controller(program, KETTLE, reading)
        return
    event("valid")
    controller = build_controller(program, KETTLE, reading)
    assert controller.num_steps == len(program)
    state, position = 0, 1
    for letter in word:
        edge = controller.react(state, letter)
        instant = behave(program, reading, position, letter)
        path = without_first_jumps(program, instant.path)
        assert (edge.action, edge.steps) == (instant.action, path)
        assert controller.names[state] == (f"step {path[0]}" if path else "the end")
        state, position = edge.target, instant.following


@settings(deadline=None)
@given(programs(KETTLE), readings())
def test_every_state_is_reached_and_every_edge_can_be_taken(program: Program, reading: Reading) -> None:
    try:
        controller = build_controller(program, KETTLE, reading)
    except InvalidController:
        return
    assert all(edge.guard != buddy.bddfalse for edges in controller.states for edge in edges)
    seen = [0]
    for state in seen:
        seen.extend({edge.target for edge in controller.states[state]}.difference(seen))
    assert sorted(seen) == list(range(len(controller.states)))
