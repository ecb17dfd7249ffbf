import gc
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from verilora.specs.vocabulary import Vocabulary, Word
from verilora.synth.controllers.controller import Controller, always, are_equivalent
from verilora.synth.controllers.hoa import from_hoa, is_hoa, to_hoa
from verilora.synth.controllers.steps import InvalidController

from oracle import all_letters
from strategies import DRIVING, KETTLE, controllers

LETTERS = all_letters(KETTLE.proposition_ids)
HEAT, REST, POUR = "2&!3&!4", "!2&3&!4", "!2&!3&4"
HEADER = """HOA: v1
States: 2
Start: 0
AP: 5 "hot" "lid" "heat" "rest" "pour"
acc-name: all
Acceptance: 0 t
"""
BODY = f"""--BODY--
State: 0
[0 & {POUR}] 1
[!0 & {REST}] 0
State: 1
[{HEAT}] 0
--END--
"""
MACHINE = HEADER + BODY


def changed(*changes: tuple[str, str]) -> str:
    """Return MACHINE with texts replaced that occur in it once."""
    text = MACHINE
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        text = text.replace(old, new)
    return text


def reactions(controller: Controller) -> list[list[tuple[str, str]]]:
    """Return action and name of the target, for each state and each letter."""
    return [
        [
            (edge.action, controller.names[edge.target])
            for edge in (controller.react(state, letter) for letter in LETTERS)
        ]
        for state in range(len(controller.states))
    ]


def invalid(text: str) -> str:
    """Return why a text is no controller."""
    with pytest.raises(InvalidController) as caught:
        from_hoa(text, KETTLE)
    return str(caught.value)


@settings(deadline=None)
@given(controllers(KETTLE))
def test_reading_what_was_written_changes_nothing(controller: Controller) -> None:
    read = from_hoa(to_hoa(controller), KETTLE)
    assert read.names == controller.names
    assert reactions(read) == reactions(controller)
    assert are_equivalent(read, controller)


@settings(deadline=None, max_examples=30)
@given(controllers(DRIVING))
def test_reading_what_was_written_changes_nothing_when_driving(controller: Controller) -> None:
    read = from_hoa(to_hoa(controller), DRIVING)
    assert read.names == controller.names
    assert are_equivalent(read, controller)


@settings(deadline=None)
@given(controllers(KETTLE), st.data())
def test_the_initial_state_comes_first_and_the_others_keep_their_order(
    controller: Controller, data: st.DataObject
) -> None:
    count = len(controller.states)
    first = data.draw(st.integers(0, count - 1))
    read = from_hoa(to_hoa(controller).replace("Start: 0\n", f"Start: {first}\n"), KETTLE)
    order = [first, *(state for state in range(count) if state != first)]
    assert read.names == tuple(controller.names[state] for state in order)
    assert reactions(read) == [reactions(controller)[state] for state in order]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), min_size=1))
def test_names_of_states_are_kept(names: list[str]) -> None:
    edges = always("heat", KETTLE).states * len(names)
    assert from_hoa(to_hoa(Controller(KETTLE, edges, tuple(names), 1)), KETTLE).names == tuple(names)


@pytest.mark.parametrize(
    "name", ['say "tea"', "back\\slash", 'both \\" of them', "ends with \\", "two\nlines", "thé 水"]
)
def test_names_that_need_care_are_kept(name: str) -> None:
    controller = Controller(KETTLE, always("heat", KETTLE).states, (name,), 1)
    assert from_hoa(to_hoa(controller), KETTLE).names == (name,)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ((), ("state 0", "state 1")),
        ([("State: 1", 'State: 1 "pouring"')], ("state 0", "pouring")),
        ([("State: 0", 'State: 0 "waiting"')], ("waiting", "state 1")),
        ([("Start: 0", "Start: 1"), ("State: 0", 'State: 0 "waiting"')], ("state 1", "waiting")),
    ],
)
def test_states_without_a_name_are_numbered(changes: list[tuple[str, str]], names: tuple[str, ...]) -> None:
    assert from_hoa(changed(*changes), KETTLE).names == names


def test_the_text_tells_actions_from_propositions() -> None:
    lines = to_hoa(always("heat", KETTLE)).splitlines()
    declared = next(line for line in lines if line.startswith("AP: 6 ")).removeprefix("AP: 6 ").split()
    controllable = next(line for line in lines if line.startswith("controllable-AP: ")).split()[1:]
    assert {declared[int(number)] for number in controllable} == {'"heat"', '"rest"', '"pour"'}
    assert {*declared} == {f'"{name}"' for name in (*KETTLE.proposition_ids, *KETTLE.action_ids)}
    assert "Acceptance: 0 t" in lines


KNOWN = "expected one of heat, hot, lid, lid_ajar, pour, rest"
POUR_IF_HOT = [
    [("pour" if "hot" in letter else "rest", "state 1" if "hot" in letter else "state 0") for letter in LETTERS],
    [("heat", "state 0")] * len(LETTERS),
]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(MACHINE, id="as it is"),
        pytest.param(MACHINE.rstrip(), id="no line break at the end"),
        pytest.param(f"\n/* A kettle. */\n{MACHINE}/* done */\n", id="comments"),
        pytest.param(MACHINE.replace("\n", "\r\n"), id="carriage returns"),
        pytest.param(changed(("acc-name: all\n", "")), id="no name of the acceptance"),
        pytest.param(changed(("acc-name: all", "controllable-AP: 2 3 4")), id="controllable propositions"),
        pytest.param(changed(("States: 2\n", "")), id="no number of states"),
        pytest.param(changed(("0 t", "1 t")), id="a set that is not asked for"),
        pytest.param(changed(('"hot" "lid"', '"hot" "lid_ajar"')), id="another proposition that is not used"),
        pytest.param(changed((f"[{HEAT}] 0", f"[0&1 & {HEAT}] 0\n[!(0&1) & {HEAT}] 0")), id="an edge split"),
        pytest.param(changed((f"State: 1\n[{HEAT}] 0", f"State: [{HEAT}] 1\n0")), id="label of a state"),
        pytest.param(
            changed(("acc-name: all", f"Alias: @rest {REST}"), (f"[!0 & {REST}]", "[!0 & @rest]")), id="alias"
        ),
        pytest.param(
            changed((f"[0 & {POUR}] 1\n", ""), (f"[!0 & {REST}] 0", f"[0 & {POUR}] 1\n[!0 & {REST}] 0")), id="order"
        ),
    ],
)
def test_machines_by_other_hands(text: str) -> None:
    assert reactions(from_hoa(text, KETTLE)) == POUR_IF_HOT


LTLSYNT = "properties: trans-labels explicit-labels state-acc deterministic"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"REALIZABLE\n{MACHINE}", id="what ltlsynt found"),
        pytest.param(f"REALIZABLE \r\n\r\n{MACHINE}".replace("\n", "\r\n"), id="what was found, carriage returns"),
        pytest.param(f"REALIZABLE\r{MACHINE}".replace("\n", "\r"), id="carriage returns alone"),
        pytest.param(f"/* by hand */ REALIZABLE\n/* 2 */\n{MACHINE}", id="what was found between comments"),
        pytest.param(f"\ufeffREALIZABLE\n{MACHINE}", id="byte order mark"),
        pytest.param(f"/* made by é 20240101 */\n{MACHINE}", id="comment first"),
        pytest.param(changed(("acc-name: all", "/* run 20240101 */")), id="number in a comment"),
        pytest.param(changed(("acc-name: all", '/* a /* HOA: v2 States: 4000000 */ b\n"c */')), id="nested comments"),
        pytest.param(changed(("[0 &", "[0/* é */&/**/")), id="comments in a label"),
        pytest.param(f"{MACHINE}/* 0.25 s, seed 20240101 */", id="comment last"),
        pytest.param(changed(("HOA: v1", 'HOA: v1\ntool: "strix" "20240101"\nname: "G(a /* b: 1234567)"')), id="strix"),
        pytest.param(changed(("HOA: v1", f'HOA: v1\nname: "x"\n{LTLSYNT}\ncontrollable-AP: 4 2 3')), id="ltlsynt"),
        pytest.param(changed(("HOA: v1", "HOA: v1\nseed: 20240101123000 t\nx.time: 1234567")), id="other headers"),
        pytest.param(changed(("acc-name: all", "acc-name: Buchi 1")), id="name of another acceptance"),
    ],
)
def test_machines_as_tools_write_them(text: str) -> None:
    assert is_hoa(text)
    assert reactions(from_hoa(text, KETTLE)) == POUR_IF_HOT


@pytest.mark.parametrize("rest", ["", "\n", "\r\n", f"\n{MACHINE}", "\n/* 20240101 */"], ids=repr)
@pytest.mark.parametrize("found", ["UNREALIZABLE", "UNKNOWN"])
def test_a_tool_that_found_no_machine_is_named(found: str, rest: str) -> None:
    assert is_hoa(found + rest)
    assert invalid(found + rest) == f"{found}: a tool found no machine, expected one in HOA"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "REALIZABLE",
        "UNREALIZABLE tasks\n1. pour",
        "REALIZABLE\n1. pour\n2. heat",
        "1. pour\nUNREALIZABLE",
        "/* HOA: v1",
    ],
)
def test_steps_are_no_machine(text: str) -> None:
    assert not is_hoa(text)


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ("0 1", "hot, lid"),
        ("2 3", "heat, rest"),
        ("2 3 4 1", "heat, rest, pour, lid"),
        ("2 3 1", "heat, rest, lid"),
        ("2 3 4 4", "heat, rest, pour, pour"),
        ("2 3 3", "heat, rest, rest"),
        ("2 3\n4 0", "heat, rest, pour, hot"),
        ("2 3 /* 4 */", "heat, rest"),
        ("2 3 4\ncontrollable-AP: 2 3 4", "heat, rest, pour, heat, rest, pour"),
        ("2 3\ncontrollable-AP: 4", "heat, rest, pour"),
        ('2 3 name: "x" controllable-AP: 4', "heat, rest, pour"),
        ("", "none"),
    ],
)
def test_controllable_propositions_are_the_actions(numbers: str, found: str) -> None:
    reason = f"controllable-AP: got {found}, expected each of the actions heat, rest, pour once"
    assert invalid(changed(("acc-name: all", f"controllable-AP: {numbers}"))) == reason
    # The header may stand before the names.
    assert invalid(changed(("Start: 0", f"Start: 0\ncontrollable-AP: {numbers}"))) == reason


@pytest.mark.parametrize("numbers", ["2 3 5", "2 3 4 -1", "2 3 4 x", "99999"])
def test_controllable_propositions_are_declared(numbers: str) -> None:
    found = invalid(changed(("acc-name: all", f"controllable-AP: {numbers}")))
    assert found.startswith("not an HOA machine: <string>:5.")


def test_the_order_in_which_a_text_declares_names_is_its_own() -> None:
    names = '"pour" "lid" "heat" "rest" "hot"'
    text = changed(
        ('"hot" "lid" "heat" "rest" "pour"', names),
        ("acc-name: all", 'name: "controllable-AP: 1"\ncontrollable-AP: 3 0 2'),
    )
    text = (
        text.replace(f"[0 & {POUR}]", "[4 & !2&!3&0]")
        .replace(f"[!0 & {REST}]", "[!4 & !2&3&!0]")
        .replace(HEAT, "2&!3&!0")
    )
    assert reactions(from_hoa(text, KETTLE)) == POUR_IF_HOT


def test_comments_and_quotes_do_not_hide_each_other() -> None:
    assert from_hoa(changed(("State: 1", 'State: 1 "/* 20240101"')), KETTLE).names == ("state 0", "/* 20240101")
    assert (
        invalid(changed(("State: 1", "State: 1 /* 1234567")))
        == "not an HOA machine: <string>:11.10-15.1: unclosed comment"
    )
    assert invalid(changed(("State: 1", "State: /* 12 */ 4000000"))) == "not an HOA machine: unexpected '4000000'"
    assert invalid(changed(("acc-name: all", "x: é"))) == "not an HOA machine: unexpected 'é'"
    assert invalid(changed(("Start: 0", "x: 1 Start: 4000000"))) == "not an HOA machine: unexpected '4000000'"
    assert invalid(f"REALIZABLE\n{MACHINE}\n{MACHINE}") == "not an HOA machine: got 2 automata, expected one"


def test_an_edge_may_hold_several_reactions_to_different_letters() -> None:
    controller = from_hoa(changed((f"[{HEAT}] 0", f"[(0 & 1 & {HEAT}) | (!(0 & 1) & {POUR})] 0")), KETTLE)
    assert [edge.action for edge in controller.states[1]] == ["heat", "pour"]
    assert [controller.react(1, letter).action for letter in ({"hot", "lid"}, {"hot"}, {"lid"}, ())] == [
        "heat",
        "pour",
        "pour",
        "pour",
    ]


def test_guards_outlive_the_automaton_that_they_were_read_from() -> None:
    # Nobody else may know these names: a variable that is free again would go to the next name that asks for one.
    vocabulary = Vocabulary(
        propositions=tuple(Word(id=name, english=name) for name in ("unheard", "unseen")),
        actions=tuple(Word(id=name, english=name) for name in ("untie", "undo")),
        idle="undo",
    )
    text = """HOA: v1
States: 1
Start: 0
AP: 3 "unseen" "untie" "undo"
Acceptance: 0 t
--BODY--
State: 0
[0&1&!2] 0
[!0&!1&2] 0
--END--
"""
    controller = from_hoa(text, vocabulary)
    gc.collect()
    assert controller.react(0, {"unheard"}).action == "undo"
    assert controller.react(0, {"unseen"}).action == "untie"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param(
            [(f"[!0 & {REST}] 0\n", "")], "incomplete: state 0 has no reaction to 'no hot water'", id="incomplete"
        ),
        pytest.param([(f"[{HEAT}] 0\n", "")], "incomplete: state 1 has no reaction to any letter", id="no edge"),
        pytest.param(
            [("State: 1", 'State: 1 "pouring"'), (f"[{HEAT}] 0\n", f"[1 & {HEAT}] 0\n")],
            "incomplete: pouring has no reaction to 'no lid'",
            id="incomplete state with a name",
        ),
        pytest.param(
            [(f"[{HEAT}] 0", f"[{HEAT}] 0\n[0 & {POUR}] 1")],
            "ambiguous: state 1 has two reactions to 'hot water'",
            id="two actions",
        ),
        pytest.param(
            [(f"[{HEAT}] 0", f"[{HEAT}] 0\n[0 & 1 & {HEAT}] 1")],
            "ambiguous: state 1 has two reactions to 'hot water and lid'",
            id="two targets",
        ),
        pytest.param(
            [(f"[{HEAT}] 0", f"[({HEAT}) | (1 & {POUR})] 0")],
            "ambiguous: state 1 has two reactions to 'lid'",
            id="two actions on one edge",
        ),
        pytest.param(
            [(f"[{HEAT}] 0", "[2&3&!4] 0")],
            "state 1: an edge allows no action or several at once: expected exactly one",
            id="two actions at once",
        ),
        pytest.param(
            [(f"[{HEAT}] 0", "[2] 0")],
            "state 1: an edge allows no action or several at once: expected exactly one",
            id="other actions left open",
        ),
        pytest.param(
            [(f"[{HEAT}] 0", "[!2&!3&!4] 0")],
            "state 1: an edge allows no action or several at once: expected exactly one",
            id="no action",
        ),
        pytest.param(
            [(f"[{HEAT}] 0", "[t] 0")],
            "state 1: an edge allows no action or several at once: expected exactly one",
            id="anything",
        ),
        pytest.param(
            [('5 "hot" "lid" "heat" "rest" "pour"', '5 "hot" "lid" "heat" "rest" "lid_ajar"')],
            "the action 'pour' is not declared: expected all of ('heat', 'rest', 'pour')",
            id="undeclared action",
        ),
        pytest.param(
            [('"lid"', '"lit"')],
            f"unknown proposition: got 'lit', {KNOWN} (did you mean 'lid'?)",
            id="unknown proposition",
        ),
        pytest.param(
            [('"hot" "lid"', '"hot" "two\nwords"')],
            f"unknown proposition: got 'two\\nwords', {KNOWN}",
            id="a proposition of two words",
        ),
        pytest.param(
            [("acc-name: all", "acc-name: Buchi"), ("0 t", "1 Inf(0)"), ("State: 1", "State: 1 {0}")],
            "expected a machine that accepts all its runs ('Acceptance: 0 t') without alternation",
            id="Büchi acceptance",
        ),
        pytest.param(
            [("acc-name: all", "acc-name: none"), ("0 t", "0 f")],
            "expected a machine that accepts all its runs ('Acceptance: 0 t') without alternation",
            id="accepts nothing",
        ),
        pytest.param(
            [(f"[{HEAT}] 0", f"[{HEAT}] 0&1")],
            "expected a machine that accepts all its runs ('Acceptance: 0 t') without alternation",
            id="alternation",
        ),
        pytest.param(
            [("Start: 0", "Start: 0&1")],
            "expected a machine that accepts all its runs ('Acceptance: 0 t') without alternation",
            id="alternation at the start",
        ),
        pytest.param([("Start: 0", "Start: 0\nStart: 1")], "ambiguous: ", id="two initial states"),
        pytest.param([("Start: 0\n", "")], "incomplete: ", id="no initial state"),
        pytest.param([("Start: 0", "Start: 2")], "not an HOA machine: <string>:3.", id="unknown initial state"),
        pytest.param([(f"[{HEAT}] 0", f"[{HEAT}] 2")], "not an HOA machine: <string>:12.", id="unknown target"),
        pytest.param([("States: 2", "States: 3")], "not an HOA machine: <string>:2.", id="undefined state"),
        pytest.param([("[0 & ", "[5 & ")], "not an HOA machine: <string>:9.", id="unknown number"),
        pytest.param([('"lid"', '"hot"')], "not an HOA machine: <string>:4.", id="declared twice"),
        pytest.param([("HOA: v1\n", "")], "not an HOA machine: <string>:1.", id="no header"),
        pytest.param([("--END--\n", "")], "not an HOA machine: <string>:", id="no end"),
        pytest.param(
            [("--END--", "--ABORT--")],
            "not an HOA machine: got 0 automata (it ends in --ABORT--), expected one",
            id="aborted",
        ),
        pytest.param(
            [("States: 2", "States: 100000000")], "not an HOA machine: unexpected '100000000'", id="too large"
        ),
        pytest.param(
            [("Start: 0", "Start: 4000000")], "not an HOA machine: unexpected '4000000'", id="start too large"
        ),
        pytest.param([("State: 1", f"State: {'1' * 999}")], f"not an HOA machine: unexpected '{'1' * 60}'", id="huge"),
        pytest.param([("--END--", "é--END--")], "not an HOA machine: unexpected 'é'", id="accent"),
        pytest.param([("--BODY--", "\0--BODY--")], "not an HOA machine: unexpected '\\x00'", id="null"),
        pytest.param([("State: 1", 'State: 1 "\0"')], "not an HOA machine: unexpected '\\x00'", id="null in a name"),
        pytest.param([("State: 1", 'State: 1 "\ud800"')], "not an HOA machine: unexpected '\\ud800'", id="surrogate"),
        pytest.param([("State: 1", 'State: 1 "pouring')], "not an HOA machine: <string>:11.", id="name not closed"),
    ],
)
def test_bad_machines(changes: list[tuple[str, str]], reason: str) -> None:
    found = invalid(changed(*changes))
    # What follows belongs to Spot: its own words, or a state that it made.
    if reason.startswith("not an HOA machine: <") or reason.endswith(" "):
        found = found[: len(reason)]
    assert found == reason


@pytest.mark.parametrize(
    "rest",
    [MACHINE, "HOA: v1\n", "and so on\n", "|", "é and so on", "\x80", "\0and so on", "2. pour", '"', "--BODY--"],
    ids=repr,
)
def test_nothing_may_follow_the_machine(rest: str) -> None:
    assert invalid(MACHINE + rest).startswith("not an HOA machine: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\n",
        "1. heat\n2. pour",
        "HOA: v1",
        "HOA: v2\n--BODY--\n--END--\n",
        "GF hot",
        "\0",
        "\ud800",
        "Here is the machine:\n" + MACHINE,
        "-",
        ".",
        "|",
    ],
    ids=repr,
)
def test_other_text_is_no_machine(text: str) -> None:
    assert invalid(text).startswith("not an HOA machine: ")


def test_machines_of_more_states_than_can_be_examined_are_refused() -> None:
    def ring(num_states: int) -> str:
        states = "".join(f"State: {n}\n[{REST}] {(n + 1) % num_states}\n" for n in range(num_states))
        return HEADER.replace("States: 2", f"States: {num_states}") + f"--BODY--\n{states}--END--\n"

    assert len(from_hoa(ring(500), KETTLE).states) == 500
    assert invalid(ring(501)) == "got 501 states, expected at most 500"


def test_text_is_never_taken_for_the_name_of_a_file_or_for_a_command(tmp_path: Path) -> None:
    path = tmp_path / "machine.hoa"
    path.write_text(MACHINE)
    trace = tmp_path / "trace"
    commands = [f"cat {path}", f"cat {path}\n", f"touch {trace}", f"{MACHINE}touch {trace}"]
    for text in [str(path), f"{path}\n", *(f"{command}{end}" for command in commands for end in ("|", " |", "|\n"))]:
        assert invalid(text).startswith("not an HOA machine: ")
    assert [file.name for file in tmp_path.iterdir()] == ["machine.hoa"]


PIECES = [*MACHINE.split(), *'é\0\ud800017&t"\\\n', "{0}", "/*", "States: 9"]


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(MACHINE)), st.integers(0, 9), st.sampled_from(PIECES) | st.text(max_size=3))
def test_a_spoilt_machine_is_a_machine_or_invalid(at: int, length: int, piece: str) -> None:
    text = MACHINE[:at] + piece + MACHINE[at + length :]
    try:
        controller = from_hoa(text, KETTLE)
    except InvalidController:
        event("invalid")
    else:
        event("a machine")
        assert are_equivalent(from_hoa(to_hoa(controller), KETTLE), controller)


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters()))
def test_any_text_is_a_machine_or_invalid(text: str) -> None:
    assert invalid(text).startswith("not an HOA machine: ")


@pytest.mark.parametrize(
    "start",
    ["", "/* Start: 0 */\n", 'name: "Start: 0"\n', "xStart: 0\n"],
    ids=["nothing", "comment", "name", "other header"],
)
def test_without_a_start_no_state_is_invented(start: str) -> None:
    assert invalid(changed(("Start: 0\n", start))) == (
        "incomplete: no initial state, expected a line such as 'Start: 0' above --BODY--"
    )


def test_of_several_starts_no_state_is_invented() -> None:
    assert invalid(changed(("Start: 0\n", "Start: 0\nStart: 1\n"))) == (
        "ambiguous: got 2 initial states, expected one line with 'Start:'"
    )
    assert from_hoa(changed(("Start: 0\n", "/* Start: 1 */ Start: 0\n")), KETTLE).names == ("state 0", "state 1")
