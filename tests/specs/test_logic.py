"""Formulas and decision diagrams."""

import copy
import gc
import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from verilora.specs.logic import (
    DICTIONARY,
    MAX_DEPTH,
    MAX_LEN,
    Bdd,
    Formula,
    boolean_diagram,
    buddy,
    conjunction,
    cube,
    exactly_one,
    letter_diagram,
    new_automaton,
    owned,
    spot,
    variable,
)

ATOMS = ("dry", "wet", "frost_at_night", "true", "false")
UNARY = ("!", "X ", "F ", "G ")
BINARY = ("&", "|", "->", "<->", "xor", "U", "R", "W", "M")

texts = st.recursive(
    st.sampled_from(ATOMS),
    lambda part: st.one_of(
        st.tuples(st.sampled_from(UNARY), part).map(lambda parts: f"{parts[0]}({parts[1]})"),
        st.tuples(part, st.sampled_from(BINARY), part).map(lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"),
    ),
    max_leaves=8,
)


@given(texts)
@settings(deadline=None)
def test_parsing_what_was_printed_gives_the_same_formula(text: str) -> None:
    formula = Formula(text)
    printed = Formula(str(formula.ltl))
    assert printed == formula
    assert hash(printed) == hash(formula)
    assert Formula(formula.text).text == formula.text


@given(texts)
@settings(deadline=None)
def test_a_formula_survives_pickling(text: str) -> None:
    formula = Formula(text)
    restored = pickle.loads(pickle.dumps(formula))
    assert restored == formula
    assert restored.text == formula.text
    assert copy.deepcopy(formula) == formula


@given(texts)
@settings(deadline=None)
def test_the_inverse_holds_exactly_where_the_formula_does_not(text: str) -> None:
    formula = Formula(text)
    assert ~~formula == formula
    assert ~formula != formula
    assert spot.are_equivalent(spot.formula.Xor(formula.ltl, (~formula).ltl), spot.formula.tt())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param("a & b", "b & a", id="order"),
        pytest.param("a&b", " a  &\n\tb ", id="spaces"),
        pytest.param("((a)) U (b)", "a U b", id="parentheses"),
        pytest.param("[]<>a", "G F a", id="other spelling"),
        pytest.param("a && !b", "a & ~b", id="other operators"),
    ],
)
def test_formulas_that_spot_finds_identical_are_equal(left: str, right: str) -> None:
    assert Formula(left) == Formula(right)
    assert hash(Formula(left)) == hash(Formula(right))
    assert len({Formula(left), Formula(right)}) == 1


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param("a U b", "b U a", id="operands swapped"),
        pytest.param("F a", "G a", id="operator"),
        pytest.param("a", "b", id="name"),
    ],
)
def test_different_formulas_are_not_equal(left: str, right: str) -> None:
    assert Formula(left) != Formula(right)
    assert len({Formula(left), Formula(right)}) == 2


def test_a_formula_is_not_equal_to_its_text() -> None:
    assert Formula("a") != "a"


def test_a_formula_shows_what_was_written_in_one_line() -> None:
    formula = Formula(" G(a\n   -> F b) ")
    assert str(formula) == formula.text == "G(a -> F b)"
    assert repr(formula) == "Formula('G(a -> F b)')"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("G(dry & frost -> X heat)", {"dry", "frost", "heat"}),
        ("a & !a & X a", {"a"}),
        ('"a" U b2_c', {"a", "b2_c"}),
        ("G true", set()),
    ],
)
def test_propositions(text: str, names: set[str]) -> None:
    assert Formula(text).propositions == names


@pytest.mark.parametrize(
    ("text", "manna_pnueli_class", "is_safety"),
    [
        ("a", "guarantee safety", True),
        ("true", "guarantee safety", True),
        ("G(a -> X b)", "safety", True),
        ("a W b", "safety", True),
        ("F a", "guarantee", False),
        ("a U b", "guarantee", False),
        ("F a -> F b", "obligation", False),
        ("G(a -> F b)", "recurrence", False),
        ("FG a", "persistence", False),
        ("GF a -> GF b", "reactivity", False),
    ],
)
def test_the_class_is_the_smallest_of_manna_and_pnueli(text: str, manna_pnueli_class: str, is_safety: bool) -> None:
    assert Formula(text).manna_pnueli_class == manna_pnueli_class
    assert Formula(text).is_safety is is_safety


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("G(a & )", 7, "unexpected closing parenthesis"),
        ("a b", 3, "unexpected atomic proposition"),
        ("a ->", 5, "unexpected end of formula"),
        ("G(a", 2, "missing closing parenthesis"),
        ("G a # b", 5, "unexpected invalid token"),
        ("", 1, "empty input"),
    ],
)
def test_a_syntax_error_names_its_column(text: str, column: int, reason: str) -> None:
    with pytest.raises(ValueError, match="syntax error") as caught:
        Formula(text)
    assert str(caught.value) == f"syntax error at column {column} of {text!r}: {reason}"


def test_the_column_counts_in_the_text_that_is_shown() -> None:
    with pytest.raises(ValueError, match="syntax error") as caught:
        Formula("a\n    & & b")
    assert str(caught.value).startswith("syntax error at column 5 of 'a & & b': ")


@pytest.mark.parametrize("text", ["{a;b}[]-> c", "{a[*];b}!", "{a;b}<>-> c", "!{a;b}"])
def test_regular_expressions_are_no_ltl(text: str) -> None:
    with pytest.raises(ValueError, match="not a formula of linear temporal logic") as caught:
        Formula(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["& a b", "U p0 p1", "i p0 p1"])
def test_prefix_notation_is_refused_since_it_cannot_be_put_in_parentheses(text: str) -> None:
    with pytest.raises(ValueError, match="prefix notation, expected infix") as caught:
        Formula(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("name", ["foo bar", "Dry", "true", "false", "xor", "1st", "a-b", "_a"])
def test_names_that_no_proposition_may_have(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a proposition") as caught:
        Formula(f'G "{name}"')
    assert repr(name) in str(caught.value)
    assert "expected lower-case letters, digits and '_'" in str(caught.value)


def test_a_formula_is_a_string_to_pydantic() -> None:
    adapter = TypeAdapter(Formula)
    assert adapter.validate_python("G a") == Formula("G a")
    assert adapter.dump_json(adapter.validate_python("G  a")) == b'"G a"'
    with pytest.raises(ValidationError, match="column 3"):
        adapter.validate_python("a b")
    with pytest.raises(ValidationError, match="valid string"):
        adapter.validate_python(["G a"])


def test_a_formula_in_a_file_has_a_greatest_length() -> None:
    adapter = TypeAdapter(Formula)
    longest = "a & " * ((MAX_LEN - 1) // 4) + "true"
    assert len(longest) == MAX_LEN
    assert adapter.validate_python(longest).text == longest
    with pytest.raises(ValidationError, match=f"at most {MAX_LEN} characters"):
        adapter.validate_python("!" + longest)


def test_operators_nest_up_to_a_limit() -> None:
    assert Formula("X" * MAX_DEPTH + "a").propositions == {"a"}
    with pytest.raises(ValueError, match=f"^operators nest deeper than {MAX_DEPTH} in 'XXX"):
        Formula("X" * (MAX_DEPTH + 1) + "a")


def test_the_strong_next_of_finite_traces_is_not_accepted() -> None:
    with pytest.raises(ValueError, match="uses 'X\\[!\\]', which is for finite traces only: expected 'X'"):
        Formula("G (a -> X[!] b)")


def test_conjunction() -> None:
    assert conjunction([]) == Formula("true")
    assert conjunction([Formula("a | b"), Formula("c -> d")]) == Formula("(a | b) & (c -> d)")


def printed(diagram: Bdd) -> Formula:
    return Formula(str(spot.bdd_to_formula(diagram, DICTIONARY)))


def label_of_freed_automaton(name: str) -> Bdd:
    automaton = new_automaton([name])
    automaton.new_states(2)
    automaton.new_edge(0, 1, buddy.bdd_ithvar(automaton.register_ap(name)))
    edge = next(iter(automaton.out(0)))
    label = owned(edge.cond)
    del edge, automaton
    gc.collect()
    return label


def test_an_owned_label_outlives_the_automaton_it_was_read_from() -> None:
    label = label_of_freed_automaton("only_in_a_freed_automaton")
    # These would take the memory and the variables that the freed automaton left.
    others = [new_automaton([f"later_{number}"]) for number in range(50)]
    for number, other in enumerate(others):
        other.new_states(2)
        other.new_edge(0, 1, variable(f"later_{number}"))
    assert label == variable("only_in_a_freed_automaton")
    assert printed(label) == Formula("only_in_a_freed_automaton")


def test_cube_and_letter_diagram() -> None:
    assert printed(cube(["a", "b"])) == Formula("a & b")
    assert cube([]) == buddy.bddtrue
    assert printed(letter_diagram(["a"], ["b", "c"])) == Formula("a & !b & !c")


def test_exactly_one_excludes_the_other_names() -> None:
    names = ["hold", "open_valve", "heat"]
    diagrams = [exactly_one(names, name) for name in names]
    assert printed(diagrams[1]) == Formula("open_valve & !hold & !heat")
    assert all(left & right == buddy.bddfalse for left in diagrams for right in diagrams if left is not right)


def test_boolean_diagram() -> None:
    assert boolean_diagram(Formula("a -> never_seen_before").ltl) == -variable("a") | variable("never_seen_before")


def test_automata_share_the_dictionary_of_parsed_ones() -> None:
    automaton = new_automaton(["a"])
    automaton.new_edge(automaton.new_state(), 0, variable("a"))
    assert automaton.intersects(spot.translate("G a"))
    assert not automaton.intersects(spot.translate("F !a"))


def test_an_interpreter_without_the_global_lock_is_refused() -> None:
    code = "import sys; sys._is_gil_enabled = lambda: False; import verilora.specs.logic"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ImportError: verilora needs an interpreter with the global lock" in done.stderr


@pytest.mark.parametrize("kind", ["error", "always"])
def test_spot_enters_quietly_however_warnings_are_treated(kind: str) -> None:
    code = (
        "import warnings; before = [*warnings.filters]; import verilora.specs.logic; assert before == warnings.filters"
    )
    done = subprocess.run([sys.executable, "-W", kind, "-c", code], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")
