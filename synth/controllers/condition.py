"""Conditions of steps: propositions under no/not, and, or."""

from dataclasses import dataclass
from typing import Any, Literal

from ...specs.logic import Bdd, buddy, spot, variable
from ...specs.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Atom:
    """A proposition, or `no` proposition."""

    proposition: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Junction:
    """Operands under one connective; `negated` is a `not` before the parentheses around it."""

    connective: Literal["and", "or"]
    operands: "tuple[Condition, ...]"
    negated: bool = False


Condition = Atom | Junction


def diagram(condition: Condition) -> Bdd:
    """Return the set of letters under which a condition holds."""
    if isinstance(condition, Atom):
        result = variable(condition.proposition)
    else:
        result = diagram(condition.operands[0])
        for operand in condition.operands[1:]:
            result = result & diagram(operand) if condition.connective == "and" else result | diagram(operand)
    return -result if condition.negated else result


def condition_text(condition: Condition, vocabulary: Vocabulary) -> str:
    """Return a condition in the words of the grammar."""
    if isinstance(condition, Atom):
        phrase = vocabulary.english[condition.proposition]
        return f"no {phrase}" if condition.negated else phrase
    text = f" {condition.connective} ".join(
        f"({inner})" if isinstance(operand, Junction) and not operand.negated else inner
        for operand in condition.operands
        for inner in [condition_text(operand, vocabulary)]
    )
    return f"not ({text})" if condition.negated else text


def condition_of(guard: Bdd) -> Condition | None:
    """Return a short condition for a set of letters, None for the set of all; the empty set has none (ValueError)."""
    if guard == buddy.bddtrue:
        return None
    if guard == buddy.bddfalse:
        raise ValueError("no condition of the grammar is always false")
    return _from_formula(spot.bdd_to_formula(guard))


def _from_formula(formula: Any) -> Condition:
    if formula.kind() == spot.op_Not:
        return Atom(formula[0].ap_name(), negated=True)
    if formula.kind() == spot.op_ap:
        return Atom(formula.ap_name())
    connective: Literal["and", "or"] = "and" if formula.kind() == spot.op_And else "or"
    return Junction(connective, tuple(_from_formula(part) for part in formula))


def guard_text(guard: Bdd, vocabulary: Vocabulary) -> str:
    """Return a set of letters in words, for people."""
    condition = condition_of(guard)
    return "always" if condition is None else condition_text(condition, vocabulary)
