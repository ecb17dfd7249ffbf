import contextlib

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.condition import Atom, Condition, Junction
from verilora.synth.controllers.steps import (
    MAX_DEPTH,
    MAX_STEPS,
    Act,
    GoTo,
    If,
    InvalidController,
    Observe,
    Program,
    Stay,
    Step,
    WaitUntil,
    parse_steps,
    print_steps,
    step_text,
)

from strategies import DRIVING, KETTLE, programs

KETTLE_ALIGNMENT = Alignment(KETTLE)
DRIVING_ALIGNMENT = Alignment(DRIVING)
HOT, LID, AJAR = Atom("hot"), Atom("lid"), Atom("lid_ajar")
NO_HOT, NO_LID, NO_AJAR = Atom("hot", True), Atom("lid", True), Atom("lid_ajar", True)


def parse_one(step: str) -> Step:
    """Return what one step means in front of "2. heat"."""
    program = parse_steps(f"1. {step}\n2. heat", KETTLE_ALIGNMENT)
    assert program[1:] == (Act("heat"),)
    return program[0]


def parsed_condition(text: str) -> Condition:
    step = parse_one(f"wait until {text}")
    assert isinstance(step, WaitUntil)
    assert step.action is None
    return step.condition


def both(*operands: Condition, negated: bool = False) -> Junction:
    return Junction("and", operands, negated)


def either(*operands: Condition, negated: bool = False) -> Junction:
    return Junction("or", operands, negated)


STEPS = {
    "heat": Act("heat"),
    "observe hot water": Observe(("hot",)),
    "observe hot water and lid and hot water": Observe(("hot", "lid", "hot")),
    "go to step 1": GoTo(1),
    "go to step 2": GoTo(2),
    "if hot water, pour": If(HOT, Act("pour")),
    "if no hot water, go to step 2": If(NO_HOT, GoTo(2)),
    "if hot water, pour, otherwise heat": If(HOT, Act("pour"), Act("heat")),
    "if hot water, pour, otherwise go to step 1": If(HOT, Act("pour"), GoTo(1)),
    "if hot water, pour, otherwise stay": If(HOT, Act("pour"), Stay()),
    "if hot water, go to step 2, otherwise rest": If(HOT, GoTo(2), Act("rest")),
    "if hot water, go to step 2, otherwise go to step 1": If(HOT, GoTo(2), GoTo(1)),
    "if hot water, go to step 2, otherwise stay": If(HOT, GoTo(2), Stay()),
    "if no hot water or lid, rest": If(either(NO_HOT, LID), Act("rest")),
    "wait until hot water": WaitUntil(HOT),
    "wait until hot water and no lid then pour": WaitUntil(both(HOT, NO_LID), "pour"),
    "wait until hot water then rest": WaitUntil(HOT, "rest"),
}
VARIANTS = {
    "observe state of hot water": "observe hot water",
    "observe the state of the hot water": "observe hot water",
    "observe hot water, lid, hot water": "observe hot water and lid and hot water",
    "observe hot water, lid, and hot water": "observe hot water and lid and hot water",
    "observe hot water and lid, hot water": "observe hot water and lid and hot water",
    "wait until hot water, then rest": "wait until hot water then rest",
    "wait until (water is hot)": "wait until hot water",
    "if not hot water, go to step 2": "if no hot water, go to step 2",
    "if not (hot water), go to step 2": "if no hot water, go to step 2",
    "switch on": "heat",
    "IF Hot-Water , POUR the cup's water , Otherwise do_nothing.": "if hot water, pour, otherwise rest",
}


@pytest.mark.parametrize("text", STEPS)
def test_every_production_is_parsed_and_printed(text: str) -> None:
    step = STEPS[text]
    assert parse_one(text) == step
    assert step_text(step, KETTLE) == text


@pytest.mark.parametrize("text", VARIANTS)
def test_other_ways_to_write_a_step(text: str) -> None:
    assert parse_one(text) == parse_one(VARIANTS[text])


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("hot water and lid and lid ajar", both(HOT, LID, AJAR)),
        ("no hot water or not lid or lid ajar", either(NO_HOT, NO_LID, AJAR)),
        ("hot water and (lid or lid ajar)", both(HOT, either(LID, AJAR))),
        ("(hot water and lid) or (no lid and no lid ajar)", either(both(HOT, LID), both(NO_LID, NO_AJAR))),
        ("(hot water and lid) and lid ajar", both(both(HOT, LID), AJAR)),
        ("not (hot water or lid)", either(HOT, LID, negated=True)),
        ("no (hot water or lid)", either(HOT, LID, negated=True)),
        ("not (not (hot water or lid))", either(HOT, LID)),
        ("not (no hot water)", HOT),
        ("((((hot water))))", HOT),
        ("not (hot water and lid) or lid ajar", either(both(HOT, LID, negated=True), AJAR)),
        ("not (hot water and not (lid or no lid ajar))", both(HOT, either(LID, NO_AJAR, negated=True), negated=True)),
    ],
)
def test_conditions(text: str, condition: Condition) -> None:
    assert parsed_condition(text) == condition


def test_parentheses_may_nest_as_deep_as_the_limit() -> None:
    text = f"{'(' * MAX_DEPTH}hot water{')' * MAX_DEPTH}"
    assert parsed_condition(text) == HOT
    with pytest.raises(InvalidController, match=r"^step 1: parentheses nest deeper than 16$"):
        parsed_condition(f"({text})")


@settings(deadline=None)
@given(programs(KETTLE))
def test_parsing_what_was_printed_changes_nothing(program: Program) -> None:
    assert parse_steps(print_steps(program, KETTLE), KETTLE_ALIGNMENT) == program


@settings(deadline=None)
@given(programs(DRIVING))
def test_parsing_what_was_printed_changes_nothing_when_driving(program: Program) -> None:
    assert parse_steps(print_steps(program, DRIVING), DRIVING_ALIGNMENT) == program


@settings(deadline=None)
@given(program=programs(DRIVING), data=st.data())
def test_capitals_articles_hyphens_spaces_and_full_stops_do_not_count(program: Program, data: st.DataObject) -> None:
    gap = st.sampled_from([" ", " ", "  ", "\t", " the ", " a ", " AN ", "-", "_", "\u00a0"])
    written = []
    for number, step in enumerate(program, start=1):
        words = step_text(step, DRIVING).split(" ")
        gaps = data.draw(st.tuples(*[gap] * len(words)))
        cases = data.draw(st.tuples(*[st.sampled_from([str.lower, str.upper, str.title])] * len(words)))
        text = "".join(case(word) + space for case, word, space in zip(cases, words, gaps, strict=True))
        indent, mark, stop = (
            data.draw(st.sampled_from(marks)) for marks in (["", "  "], [". ", ") ", ".", ".\t", ")"], ["", ".", ". "])
        )
        written.append(f"{indent}{number}{mark}{text.rstrip()}{stop}")
    text = data.draw(st.sampled_from(["\n", "\r\n", "\n\n \n"])).join(written)
    assert parse_steps(text, DRIVING_ALIGNMENT) == program


PIECES = (
    "observe|state of|if|wait until|then|, then|, otherwise|stay|go to step|and|or|no|not|(|)|,|.|1|2|the||"
    "hot water|lid|ajar|heat|, pour|tea"
)


@settings(deadline=None, max_examples=300)
@given(program=programs(KETTLE, max_steps=3), data=st.data())
def test_spoilt_steps_are_steps_or_invalid(program: Program, data: st.DataObject) -> None:
    lines = [step_text(step, KETTLE).split() for step in program]
    words = lines[data.draw(st.integers(0, len(lines) - 1))]
    at = data.draw(st.integers(0, len(words)))
    words[at : at + data.draw(st.integers(0, 1))] = [data.draw(st.sampled_from(PIECES.split("|")))]
    try:
        spoilt = parse_steps("\n".join(f"{i}. {' '.join(line)}" for i, line in enumerate(lines, 1)), KETTLE_ALIGNMENT)
    except InvalidController as error:
        event(str(error)[: len("step 1: unk")])
    else:
        event("steps")
        assert parse_steps(print_steps(spoilt, KETTLE), KETTLE_ALIGNMENT) == spoilt


@settings(deadline=None, max_examples=500)
@given(st.text() | st.text().map("1. heat\n2. {}".format))
def test_any_text_is_steps_or_invalid(text: str) -> None:
    with contextlib.suppress(InvalidController):
        parse_steps(text, KETTLE_ALIGNMENT)


PROPOSITIONS = "expected one of hot water, lid, lid ajar"
ACTIONS = "expected one of heat, pour, rest"
LID_MEANT = f"{PROPOSITIONS} (did you mean 'lid'?)"
POUR_MEANT = f"{ACTIONS} (did you mean 'pour'?)"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        pytest.param("observe steam", f"unknown proposition: got 'steam', {PROPOSITIONS}", id="unknown proposition"),
        pytest.param(
            "if warm water, pour",
            f"unknown proposition: got 'warm water', {PROPOSITIONS} (did you mean 'hot water'?)",
            id="suggestion",
        ),
        pytest.param(
            "if lid and no tea or lid, pour",
            f"unknown proposition: got 'tea', {PROPOSITIONS}",
            id="unknown proposition among others",
        ),
        pytest.param("if , pour", f"unknown proposition: got ', pour', {PROPOSITIONS}", id="no condition"),
        pytest.param("if no no lid, pour", f"unknown proposition: got 'no lid', {LID_MEANT}", id="no no"),
        pytest.param(
            "wait until", f"unknown proposition: got 'the end of the step', {PROPOSITIONS}", id="wait until what"
        ),
        pytest.param("observe", f"unknown proposition: got 'the end of the step', {PROPOSITIONS}", id="observe what"),
        pytest.param("observe no lid", f"unknown proposition: got 'no lid', {LID_MEANT}", id="observe a negation"),
        pytest.param(
            "observe lid and", f"unknown proposition: got 'the end of the step', {PROPOSITIONS}", id="list ends"
        ),
        pytest.param("observe lid or hot water", "unexpected 'or hot water'", id="list with or"),
        pytest.param("observe lid hot water", "unexpected 'hot water'", id="list without comma"),
        pytest.param("dance", f"unknown action: got 'dance', {ACTIONS}", id="unknown action"),
        pytest.param(
            "if lid, heats, otherwise pour",
            f"unknown action: got 'heats', {ACTIONS} (did you mean 'heat'?)",
            id="unknown action in a branch",
        ),
        pytest.param(
            "if lid, pour, otherwise dance", f"unknown action: got 'dance', {ACTIONS}", id="in the other branch"
        ),
        pytest.param("wait until lid then dance", f"unknown action: got 'dance', {ACTIONS}", id="after then"),
        pytest.param(
            "wait until lid then go to step 1", f"unknown action: got 'go to step 1', {ACTIONS}", id="then go to"
        ),
        pytest.param("hot water", f"unknown action: got 'hot water', {ACTIONS}", id="proposition for an action"),
        pytest.param("if lid, hot water", f"unknown action: got 'hot water', {ACTIONS}", id="proposition in a branch"),
        pytest.param(
            "if heat, pour", f"unknown proposition: got 'heat', {PROPOSITIONS}", id="action for a proposition"
        ),
        pytest.param("observe heat", f"unknown proposition: got 'heat', {PROPOSITIONS}", id="action observed"),
        pytest.param("stay", f"unknown action: got 'stay', {ACTIONS}", id="stay alone"),
        pytest.param("if lid, stay", f"unknown action: got 'stay', {ACTIONS}", id="stay as a first branch"),
        pytest.param("", f"unknown action: got 'the end of the step', {ACTIONS}", id="empty step"),
        pytest.param("not lid", f"unknown action: got 'not lid', {ACTIONS}", id="condition alone"),
        pytest.param(
            "if lid and hot water or lid ajar, pour",
            "mixes 'and' with 'or': expected parentheses around one of them",
            id="and then or",
        ),
        pytest.param(
            "if lid or hot water and lid ajar, pour",
            "mixes 'and' with 'or': expected parentheses around one of them",
            id="or then and",
        ),
        pytest.param(
            "if not (lid or hot water and lid ajar), pour",
            "mixes 'and' with 'or': expected parentheses around one of them",
            id="mixed in parentheses",
        ),
        pytest.param("if hot waters, pour", "expected ',', got 'waters , pour'", id="word behind a proposition"),
        pytest.param("if lid pour", "expected ',', got 'pour'", id="missing comma"),
        pytest.param("if lid", "expected ',', got 'the end of the step'", id="no branch"),
        pytest.param("if lid then pour", "expected ',', got 'then pour'", id="if then"),
        pytest.param("if lid, pour otherwise heat", "unexpected 'otherwise heat'", id="missing comma before otherwise"),
        pytest.param("if lid, pour, heat", "expected 'otherwise', got 'heat'", id="missing otherwise"),
        pytest.param("if lid, pour,", "expected 'otherwise', got 'the end of the step'", id="comma at the end"),
        pytest.param("if (lid or hot water, pour", "expected ')', got ', pour'", id="not closed"),
        pytest.param("if lid), pour", "expected ',', got ') , pour'", id="not opened"),
        pytest.param("if (), pour", f"unknown proposition: got ')', {PROPOSITIONS}", id="nothing in parentheses"),
        pytest.param("if (no) lid, pour", f"unknown proposition: got ') lid', {LID_MEANT}", id="no in parentheses"),
        pytest.param(f"if {'(' * 100}lid{')' * 100}, pour", "parentheses nest deeper than 16", id="100 parentheses"),
        pytest.param(f"if {'(' * 100}", "parentheses nest deeper than 16", id="100 parentheses not closed"),
        pytest.param(f"if {'not (' * 9999}lid, pour", "parentheses nest deeper than 16", id="10000 negations"),
        pytest.param("go to step 0", "jumps to step 0, expected one of 1 to 2", id="jump to 0"),
        pytest.param("go to step 3", "jumps to step 3, expected one of 1 to 2", id="jump behind the end"),
        pytest.param("go to step 9", "jumps to step 9, expected one of 1 to 2", id="jump to 9"),
        pytest.param("go to step 10", "jumps to step 10, expected one of 1 to 2", id="jump to 10"),
        pytest.param("if lid, go to step 9", "jumps to step 9, expected one of 1 to 2", id="jump in a branch"),
        pytest.param(
            "if lid, pour, otherwise go to step 0", "jumps to step 0, expected one of 1 to 2", id="in the other"
        ),
        pytest.param(
            "go to step 99999999999999999999",
            "jumps to step 99999999999999999999, expected one of 1 to 2",
            id="jump to a huge number",
        ),
        pytest.param("go to step two", "expected the number of a step, got 'two'", id="jump to a word"),
        pytest.param("go to step", "expected the number of a step, got 'the end of the step'", id="jump to nothing"),
        pytest.param("go to step \u00b2", "expected the number of a step, got '\u00b2'", id="jump to a superscript"),
        pytest.param("go to step 1.5", "unexpected '. 5'", id="jump to a fraction"),
        pytest.param("go to 2", f"unknown action: got 'go to 2', {ACTIONS}", id="go to without step"),
        pytest.param("pour now", "unexpected 'now'", id="trailing word"),
        pytest.param("pour and heat", "unexpected 'and heat'", id="two actions"),
        pytest.param("if lid, pour, otherwise stay here", "unexpected 'here'", id="stay and trailing word"),
        pytest.param("pour..", "unexpected '.'", id="two full stops"),
        pytest.param("pour!", "unexpected '!'", id="exclamation mark"),
        pytest.param("wait until lid, pour", "unexpected ', pour'", id="wait until without then"),
        pytest.param("caf\u00e9", f"unknown action: got 'caf \u00e9', {ACTIONS}", id="accent"),
        pytest.param("p\u043eur", f"unknown action: got 'p \u043e ur', {POUR_MEANT}", id="look-alike"),
        pytest.param(
            "observe \u201clid\u201d", f"unknown proposition: got '\u201c lid \u201d', {LID_MEANT}", id="quotes"
        ),
        pytest.param("observe \u6c34", f"unknown proposition: got '\u6c34', {PROPOSITIONS}", id="Chinese"),
        pytest.param("\U0001fad6 pour", f"unknown action: got '\U0001fad6 pour', {POUR_MEANT}", id="emoji"),
    ],
)
def test_bad_steps(step: str, message: str) -> None:
    with pytest.raises(InvalidController) as caught:
        parse_one(step)
    assert str(caught.value) == f"step 1: {message}"
    with pytest.raises(InvalidController) as caught:
        parse_steps(f"1. heat\n2. {step}", KETTLE_ALIGNMENT)
    assert str(caught.value) == f"step 2: {message}"


def test_a_jump_to_a_number_too_long_to_be_read_is_invalid() -> None:
    with pytest.raises(InvalidController, match=r"^step 1: jumps to step 9+, expected one of 1 to 2$"):
        parse_one(f"go to step {'9' * 5000}")


def test_a_long_message_is_cut() -> None:
    with pytest.raises(InvalidController) as caught:
        parse_one(f"pour {'and pour ' * 1000}")
    assert str(caught.value) == f"step 1: unexpected '{'and pour ' * 5}and pour'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "got 0 lines, expected 2 to 8 numbered steps", id="empty"),
        pytest.param(" \n\t\n\u2003", "got 0 lines, expected 2 to 8 numbered steps", id="blank"),
        pytest.param("1. pour", "got 1 lines, expected 2 to 8 numbered steps", id="one step"),
        pytest.param("1. pour 2. heat", "got 1 lines, expected 2 to 8 numbered steps", id="two steps in a line"),
        pytest.param(
            "\n".join(f"{number}. pour" for number in range(1, 10)),
            "got 9 lines, expected 2 to 8 numbered steps",
            id="nine steps",
        ),
        pytest.param("0. pour\n1. heat", "line 1: expected a step that starts with '1.', got '0. pour'", id="from 0"),
        pytest.param("2. pour\n3. heat", "line 1: expected a step that starts with '1.', got '2. pour'", id="from 2"),
        pytest.param("1. pour\n3. heat", "line 2: expected a step that starts with '2.', got '3. heat'", id="gap"),
        pytest.param("1. pour\n1. heat", "line 2: expected a step that starts with '2.', got '1. heat'", id="twice"),
        pytest.param("1. pour\nheat", "line 2: expected a step that starts with '2.', got 'heat'", id="unnumbered"),
        pytest.param("1. pour\n2 heat", "line 2: expected a step that starts with '2.', got '2 heat'", id="no dot"),
        pytest.param("1. pour\n2: heat", "line 2: expected a step that starts with '2.', got '2: heat'", id="colon"),
        pytest.param(
            "1. pour\n-2. heat", "line 2: expected a step that starts with '2.', got '-2. heat'", id="negative"
        ),
        pytest.param(
            f"1. pour\n{'2' * 5000}. heat",
            f"line 2: expected a step that starts with '2.', got '{'2' * 60}'",
            id="huge number",
        ),
        pytest.param(
            "Here are the steps:\n1. pour\n2. heat",
            "line 1: expected a step that starts with '1.', got 'Here are the steps:'",
            id="prose before",
        ),
        pytest.param(
            "1. pour\n2. heat\nGood luck!",
            "line 3: expected a step that starts with '3.', got 'Good luck!'",
            id="prose after",
        ),
        pytest.param(
            "```\n1. pour\n2. heat\n```", "line 1: expected a step that starts with '1.', got '```'", id="code fence"
        ),
        pytest.param(
            "**1. pour**\n2. heat", "line 1: expected a step that starts with '1.', got '**1. pour**'", id="bold"
        ),
        pytest.param(
            "\u2460 pour\n\u2461 heat", "line 1: expected a step that starts with '1.', got '\u2460 pour'", id="circled"
        ),
    ],
)
def test_bad_numbering(text: str, message: str) -> None:
    with pytest.raises(InvalidController) as caught:
        parse_steps(text, KETTLE_ALIGNMENT)
    assert str(caught.value) == message


def test_the_number_of_steps_is_limited_where_it_is_asked_for() -> None:
    text = "\n".join(f"{number}. go to step {number}" for number in range(1, 13))
    assert parse_steps(text, KETTLE_ALIGNMENT, max_steps=12) == tuple(map(GoTo, range(1, 13)))
    for max_steps in (MAX_STEPS, 11):
        with pytest.raises(InvalidController, match=f"^got 12 lines, expected 2 to {max_steps} numbered steps$"):
            parse_steps(text, KETTLE_ALIGNMENT, max_steps)


def test_synonyms_of_the_driving_vocabulary() -> None:
    text = """1. Observe the state of the oncoming traffic and the green left arrow.
    2) If the traffic light is green and there_is_no_car, turn left."""
    with pytest.raises(InvalidController, match=r"^step 2: unknown proposition: got 'there is no car'"):
        parse_steps(text, DRIVING_ALIGNMENT)
    text = text.replace("there_is_no_car", "no vehicle approaching from the left")
    assert parse_steps(text, DRIVING_ALIGNMENT) == (
        Observe(("opposite_car", "green_left_turn_light")),
        If(both(Atom("green_traffic_light"), Atom("car_from_left", negated=True)), Act("turn_left")),
    )
