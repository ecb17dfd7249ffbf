import pytest
from hypothesis import given, settings

from verilora.specs.logic import Bdd, buddy, letter_diagram
from verilora.synth.controllers.condition import (
    Atom,
    Condition,
    Junction,
    condition_of,
    condition_text,
    diagram,
    guard_text,
)

from controllers import guard_of
from oracle import Letter, all_letters
from strategies import DRIVING, KETTLE, conditions

HOT, LID, AJAR = Atom("hot"), Atom("lid"), Atom("lid_ajar")
NO_HOT = Atom("hot", negated=True)
LETTERS = all_letters(KETTLE.proposition_ids)


def holds(condition: Condition, letter: Letter) -> bool:
    if isinstance(condition, Atom):
        value = condition.proposition in letter
    elif condition.connective == "and":
        value = all(holds(operand, letter) for operand in condition.operands)
    else:
        value = any(holds(operand, letter) for operand in condition.operands)
    return value is not condition.negated


def letters_of(guard: Bdd) -> list[Letter]:
    """Return the letters that a guard admits, asked one by one."""
    names = set(KETTLE.proposition_ids)
    return [letter for letter in LETTERS if guard & letter_diagram(letter, names - letter) != buddy.bddfalse]


@pytest.mark.parametrize(
    ("condition", "formula", "text"),
    [
        (HOT, "hot", "hot water"),
        (NO_HOT, "!hot", "no hot water"),
        (Junction("and", (HOT, LID, AJAR)), "hot & lid & lid_ajar", "hot water and lid and lid ajar"),
        (Junction("or", (NO_HOT, LID)), "!hot | lid", "no hot water or lid"),
        (Junction("and", (HOT, LID), negated=True), "!(hot & lid)", "not (hot water and lid)"),
        (Junction("or", (HOT, LID), negated=True), "!(hot | lid)", "not (hot water or lid)"),
        (
            Junction("or", (HOT, Junction("and", (LID, Junction("or", (NO_HOT, AJAR), negated=True))))),
            "hot | (lid & !(!hot | lid_ajar))",
            "hot water or (lid and not (no hot water or lid ajar))",
        ),
        (
            Junction("and", (Junction("and", (HOT, LID)), AJAR)),
            "hot & lid & lid_ajar",
            "(hot water and lid) and lid ajar",
        ),
        (Junction("and", (HOT, NO_HOT)), "0", "hot water and no hot water"),
        (Junction("or", (HOT, NO_HOT)), "1", "hot water or no hot water"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_diagram_and_text(condition: Condition, formula: str, text: str) -> None:
    assert diagram(condition) == guard_of(formula)
    assert condition_text(condition, KETTLE) == text


@settings(deadline=None)
@given(conditions(KETTLE))
def test_the_diagram_holds_where_the_condition_does(condition: Condition) -> None:
    assert letters_of(diagram(condition)) == [letter for letter in LETTERS if holds(condition, letter)]


@settings(deadline=None)
@given(conditions(DRIVING))
def test_a_condition_of_a_guard_has_that_guard(condition: Condition) -> None:
    guard = diagram(condition)
    if guard == buddy.bddtrue:
        assert condition_of(guard) is None
        assert guard_text(guard, DRIVING) == "always"
    elif guard == buddy.bddfalse:
        with pytest.raises(ValueError, match="no condition of the grammar is always false"):
            condition_of(guard)
    else:
        written = condition_of(guard)
        assert written is not None
        assert diagram(written) == guard
        assert guard_text(guard, DRIVING) == condition_text(written, DRIVING)


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("hot", "hot water"),
        ("!lid_ajar", "no lid ajar"),
        ("hot & lid | hot & !lid", "hot water"),
        ("1", "always"),
    ],
)
def test_guards_in_words(formula: str, text: str) -> None:
    assert guard_text(guard_of(formula), KETTLE) == text


@pytest.mark.parametrize("formula", ["hot xor lid", "hot & (lid | lid_ajar)", "!(hot & lid & lid_ajar)", "hot <-> lid"])
def test_the_words_of_a_guard_need_only_the_propositions_it_depends_on(formula: str) -> None:
    condition = condition_of(guard_of(formula))
    assert condition is not None
    assert letters_of(diagram(condition)) == letters_of(guard_of(formula))
    unused = [word.english for word in KETTLE.propositions if word.id not in formula]
    assert not [phrase for phrase in unused if phrase in guard_text(guard_of(formula), KETTLE)]
