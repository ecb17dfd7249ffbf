"""Formulas as automata, translated once each and under a time limit."""

from dataclasses import dataclass
from typing import Any

from ...specs.logic import Automaton, Formula, spot
from ...specs.processes.deadline import Deadline
from ...specs.processes.forked import Unanswered, within

# Spot is built for 32 acceptance sets; products of two formulas must fit.
MAX_SETS = 15
# Spot does not name it in Python.
_STRONG_X = spot.formula("X[!] a").kind()


@dataclass(frozen=True, slots=True)
class CompiledFormula:
    """A formula's deterministic, complete automaton and its complement.

    `bad` are the states after which nothing can satisfy the formula; `is_safety` says that every violation gets there.
    """

    formula: Formula
    manna_pnueli_class: str
    is_safety: bool
    automaton: Automaton
    complement: Automaton
    bad: frozenset[int]


@dataclass(frozen=True, slots=True)
class FiniteFormula:
    """A formula's deterministic, complete automaton on finite traces, and its accepting states.

    De Giacomo and Vardi, Linear temporal logic and linear dynamic logic on finite traces (IJCAI 2013).
    """

    automaton: Automaton
    accepting: frozenset[int]


class Compiler:
    """Translates formulas; each is translated once, and one that exceeds the limit is not tried again."""

    def __init__(self, time_limit: float = 5.0) -> None:
        self.time_limit = time_limit
        self._compiled: dict[Formula, CompiledFormula | Unanswered] = {}
        self._finite: dict[tuple[Formula, bool], FiniteFormula] = {}

    def compile(self, formula: Formula, deadline: Deadline | None = None) -> CompiledFormula:
        """Return a formula's automata; raises Unanswered. One that only a deadline ended is tried again."""
        if formula not in self._compiled:
            seconds = self.time_limit
            if deadline is not None:
                deadline.check()
                seconds = min(seconds, deadline.left)
            try:
                self._compiled[formula] = _from_hoa(formula, *within(seconds, _translate, formula))
            except Unanswered as error:
                if deadline is not None:
                    deadline.check()
                self._compiled[formula] = Unanswered(f"translating {formula.text!r}: {error}")
        compiled = self._compiled[formula]
        if isinstance(compiled, Unanswered):
            raise compiled
        return compiled

    def compile_finite(self, formula: Formula, *, is_strong: bool = False) -> FiniteFormula:
        """Return a formula's automaton on finite traces; raises Unanswered.

        At the last letter `X f` is true, if `is_strong` false.
        """
        key = (formula, is_strong)
        if key not in self._finite:
            hoa, accepting = within(self.time_limit, _translate_finite, formula, is_strong)
            self._finite[key] = FiniteFormula(spot.automaton(hoa + "\n"), accepting)
        return self._finite[key]

    def monitor(self, formula: Formula) -> Automaton:
        """Return the graph of all that a safety formula allows; raises Unanswered."""
        return spot.automaton(within(self.time_limit, _translate_monitor, formula) + "\n")


def _translate(formula: Formula) -> tuple[str, str, bool]:
    automaton = spot.translate(formula.ltl, "generic", "deterministic", "complete")
    if automaton.num_sets() > MAX_SETS:
        raise RuntimeError(f"its automaton needs {automaton.num_sets()} acceptance sets, more than {MAX_SETS}")
    return automaton.to_str("hoa"), formula.manna_pnueli_class, formula.is_safety


def _translate_finite(formula: Formula, is_strong: bool) -> tuple[str, frozenset[int]]:
    """Return a formula's automaton on finite traces as HOA text, and its accepting states."""
    ltl = _strong_next(formula.ltl) if is_strong else formula.ltl
    endless = spot.translate(spot.from_ltlf(ltl), "buchi", "sbacc", "deterministic", "complete")
    finite = spot.complete(spot.to_finite(endless))
    accepting = frozenset(state for state in range(finite.num_states()) if finite.state_is_accepting(state))
    return finite.to_str("hoa"), accepting


def _strong_next(ltl: Any) -> Any:
    """Return a formula in which every `X` asks for one more letter."""
    parts = ltl.map(_strong_next)
    return spot.formula.unop(_STRONG_X, parts[0]) if parts.kind() == spot.op_X else parts


def _translate_monitor(formula: Formula) -> str:
    return str(spot.translate(formula.ltl, "monitor", "deterministic").to_str("hoa"))


def _from_hoa(formula: Formula, hoa: str, manna_pnueli_class: str, is_safety: bool) -> CompiledFormula:
    automaton = spot.automaton(hoa + "\n")
    components = spot.scc_info(automaton)
    bad = (state for state in range(automaton.num_states()) if not components.is_useful_state(state))
    return CompiledFormula(formula, manna_pnueli_class, is_safety, automaton, spot.dualize(automaton), frozenset(bad))
