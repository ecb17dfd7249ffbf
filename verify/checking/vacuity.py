"""Vacuity: a rule of the form "if this, then that" is kept vacuously by a controller with which "this" never happens.

Antecedent failure, after Beer, Ben-David, Eisner and Rodeh, Efficient detection of vacuity in temporal model checking
(Formal Methods in System Design 18, 2001). It is reported and never ranked.
"""

from ...specs.logic import Formula, spot


def trigger(formula: Formula) -> Formula | None:
    """Return the formula that says that a rule is triggered at some time; None for a rule that is no implication."""
    ltl = formula.ltl
    always = ltl.kind() == spot.op_G
    body = ltl[0] if always else ltl
    if body.kind() != spot.op_Implies:
        return None
    return Formula(f"F({body[0]})" if always else str(body[0]))
