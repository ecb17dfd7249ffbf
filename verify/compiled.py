"""Formulas as automata, translated once each and under a time limit."""

from dataclasses import dataclass

from ..specs.logic import Automaton, Formula, spot
from .forked import TimeLimitExceeded, within


@dataclass(frozen=True, slots=True)
class CompiledFormula:
    """A formula's deterministic, complete automaton and its complement.

    `bad` are the states after which nothing can satisfy the formula; `is_safety` says that every violation gets there.
    """

    formula: Formula
    is_safety: bool
    automaton: Automaton
    complement: Automaton
    bad: frozenset[int]


class Compiler:
    """Translates formulas; each is translated once, and one that exceeds the limit is not tried again."""

    def __init__(self, time_limit: float = 5.0) -> None:
        self.time_limit = time_limit
        self._compiled: dict[Formula, CompiledFormula | TimeLimitExceeded] = {}

    def compile(self, formula: Formula) -> CompiledFormula:
        """Return a formula's automata; raises TimeLimitExceeded."""
        if formula not in self._compiled:
            try:
                self._compiled[formula] = _from_hoa(formula, *within(self.time_limit, _translate, formula))
            except TimeLimitExceeded as error:
                self._compiled[formula] = TimeLimitExceeded(f"translating {formula.text!r}: {error}")
        compiled = self._compiled[formula]
        if isinstance(compiled, TimeLimitExceeded):
            raise compiled
        return compiled


def _translate(formula: Formula) -> tuple[str, bool]:
    automaton = spot.translate(formula.ltl, "generic", "deterministic", "complete")
    return automaton.to_str("hoa"), formula.is_safety


def _from_hoa(formula: Formula, hoa: str, is_safety: bool) -> CompiledFormula:
    automaton = spot.automaton(hoa + "\n")
    components = spot.scc_info(automaton)
    bad = (state for state in range(automaton.num_states()) if not components.is_useful_state(state))
    return CompiledFormula(formula, is_safety, automaton, spot.dualize(automaton), frozenset(bad))
