"""Verdicts on finite traces, such as one episode of a simulator.

A rule is violated if nothing that could follow would mend it, kept if it holds when the trace is taken as a whole (LTL
on finite traces: De Giacomo and Vardi, IJCAI 2013; `X` asks for nothing at the last letter), and pending if it is
neither: what it asks for can still come.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from ...specs.logic import Automaton, Bdd, Formula, buddy, letter_diagram, owned
from ...synth.controllers.controller import Letter
from .compiled import Compiler


class TraceStatus(StrEnum):
    """Outcome for one rule on a finite trace."""

    KEPT = "kept"
    PENDING = "pending"
    VIOLATED = "violated"


class TraceChecker:
    """Checks finite traces against formulas. Raises Unanswered if one takes too long to translate."""

    def __init__(self, formulas: Mapping[str, Formula], compiler: Compiler) -> None:
        self._monitors = {name: Monitor(formula, compiler) for name, formula in formulas.items()}

    def statuses(self, trace: Sequence[Letter]) -> dict[str, TraceStatus]:
        """Return the status of each formula on a trace; a letter holds the true propositions and one action."""
        if not trace:
            raise ValueError("got an empty trace, expected at least one letter")
        return {name: monitor.check(trace) for name, monitor in self._monitors.items()}


class Monitor:
    """One formula: its automaton tells what is lost, its automaton on finite traces what holds at the end.

    A state is a state of each. With `is_strong`, for a goal, `X` asks for one more letter. Raises Unanswered if the
    formula takes too long to translate.
    """

    def __init__(self, formula: Formula, compiler: Compiler, *, is_strong: bool = False) -> None:
        compiled = compiler.compile(formula)
        self._endless = _Stepper(compiled.automaton, formula.propositions)
        self._bad = compiled.bad
        finite = compiler.compile_finite(formula, is_strong=is_strong)
        self._finite = _Stepper(finite.automaton, formula.propositions)
        self._accepting = finite.accepting
        self.initial = (self._endless.initial, self._finite.initial)

    @property
    def can_be_violated(self) -> bool:
        """Whether any finite trace violates the formula; none does if it asks only for what can always still come."""
        return bool(self._bad)

    def check(self, trace: Sequence[Letter]) -> TraceStatus:
        """Return the status of a trace."""
        return self.status((self._endless.run(trace), self._finite.run(trace)))

    def step(self, state: tuple[int, int], letter: Letter) -> tuple[int, int]:
        """Return the state after one more letter."""
        return self._endless.step(state[0], letter), self._finite.step(state[1], letter)

    def status(self, state: tuple[int, int]) -> TraceStatus:
        """Return the status of a trace that ends in a state."""
        if state[0] in self._bad:
            return TraceStatus.VIOLATED
        return TraceStatus.KEPT if state[1] in self._accepting else TraceStatus.PENDING


class _Stepper:
    """A deterministic, complete automaton that remembers its steps: a trace costs a dictionary look-up a letter."""

    def __init__(self, automaton: Automaton, propositions: frozenset[str]) -> None:
        self.initial: int = automaton.get_init_state_number()
        self._edges: list[list[tuple[Bdd, int]]] = [
            [(owned(edge.cond), edge.dst) for edge in automaton.out(state)] for state in range(automaton.num_states())
        ]
        self._propositions = propositions
        self._known: dict[tuple[int, Letter], int] = {}

    def run(self, trace: Iterable[Letter]) -> int:
        """Return the state after a trace."""
        state = self.initial
        for letter in trace:
            state = self.step(state, letter)
        return state

    def step(self, state: int, letter: Letter) -> int:
        """Return the state after one more letter."""
        seen = letter & self._propositions
        following = self._known.get((state, seen))
        if following is None:
            following = self._known[state, seen] = self._find(state, seen)
        return following

    def _find(self, state: int, letter: Letter) -> int:
        diagram = letter_diagram(letter, self._propositions - letter)
        return next(target for guard, target in self._edges[state] if guard & diagram != buddy.bddfalse)
