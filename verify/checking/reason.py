"""Reasons: which marks of a component make the runs that take them for ever accepted or rejected."""

from collections.abc import Collection
from typing import Any


def least_reason(acceptance: Any, marks: Collection[int], *, accepts: bool) -> list[int]:
    """Return a least set of a component's marks with which every run inside it is accepted, or else rejected.

    All of them together must be one. None is needed where what would have to recur is missing in the component.
    """
    code = acceptance if accepts else acceptance.complement()
    reason = list(marks)
    for mark in marks:
        without = [other for other in reason if other != mark]
        if _is_certain(code, without, marks):
            reason = without
    return reason


def _is_certain(code: Any, recurring: Collection[int], possible: Collection[int]) -> bool:
    """Return whether a run that takes some marks for ever, and no others but possible ones, must be accepted."""
    if code.is_t() or code.is_f():
        return bool(code.is_t())
    conjuncts = code.top_conjuncts()
    if len(conjuncts) > 1:
        return all(_is_certain(part, recurring, possible) for part in conjuncts)
    disjuncts = code.top_disjuncts()
    if len(disjuncts) > 1:
        return any(_is_certain(part, recurring, possible) for part in disjuncts)
    infinitely, finitely = (marks.sets() for marks in code.used_inf_fin_sets())
    return all(mark in recurring for mark in infinitely) and not any(mark in possible for mark in finitely)
