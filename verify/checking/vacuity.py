"""Vacuity: a rule "if this, then that" that is kept whatever its "if" says, from both sides.

It is kept with "this" never true (antecedent failure), or it would be kept with "this" always true: then it depends on
the other part alone. Beer, Ben-David, Eisner and Rodeh, Efficient detection of vacuity in temporal model checking
(Formal Methods in System Design 18, 2001): a subformula that can be replaced by false, or by true, affects nothing.
Vacuity is reported and never ranked.
"""

from typing import Any

from ...specs.logic import Formula, spot


def trigger(formula: Formula) -> Formula | None:
    """Return the formula that says that a rule is triggered at some time; None for a rule that is no implication."""
    always, body = _implication(formula)
    if body is None:
        return None
    return Formula(f"F({body[0]})" if always else str(body[0]))


def never_triggered(formula: Formula) -> Formula | None:
    """Return the formula that says that a rule is never triggered; None for a rule that is no implication."""
    triggered = trigger(formula)
    return None if triggered is None else ~triggered


def demand(formula: Formula) -> Formula | None:
    """Return the rule as it is if it is always triggered; None for a rule that is no implication."""
    always, body = _implication(formula)
    if body is None:
        return None
    return Formula(f"G({body[1]})" if always else str(body[1]))


def _implication(formula: Formula) -> tuple[bool, Any]:
    """Return whether a rule says something of all times, and the implication that it states, None if it states none."""
    ltl = formula.ltl
    always = ltl.kind() == spot.op_G
    body = ltl[0] if always else ltl
    return always, body if body.kind() == spot.op_Implies else None
