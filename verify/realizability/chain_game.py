"""Can any controller keep formulas almost surely in a chain world, and which one?

The question is answered as it is judged: a formula counts as kept if it holds with probability 1. It takes a Markov
decision process whose states are those of the world and of deterministic automata; some end component in which all of
them can accept has to be reached with probability 1 (Baier and Katoen, Principles of Model Checking, section 10.6).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...specs.logic import Automaton, Formula, buddy, new_automaton
from ...specs.vocabulary import Vocabulary
from ..checking.compiled import CompiledFormula
from .almost_sure import almost_sure_region
from .decision_process import DecisionProcess, decision_process
from .end_components import maximal_end_components, winning_component
from .strategy import Strategy


@dataclass(frozen=True, slots=True)
class ChainGame:
    """A deterministic chain world against a controller; `compiled` holds every formula that can be asked for."""

    world: Automaton
    vocabulary: Vocabulary
    compiled: Mapping[Formula, CompiledFormula]

    def solve(self, guarantees: Sequence[Formula]) -> str | None:
        """Return a strategy that keeps all guarantees with probability 1, as HOA text, or None if there is none."""
        strategy = _strategy(self._process(guarantees))
        return str(strategy.machine(self.vocabulary).to_str("hoa")) if strategy else None

    def is_winnable(self, guarantees: Sequence[Formula]) -> bool:
        """Return whether a controller can keep all guarantees with probability 1."""
        return _strategy(self._process(guarantees)) is not None

    def _process(self, guarantees: Sequence[Formula]) -> DecisionProcess:
        compiled = [self.compiled[formula] for formula in guarantees]
        return decision_process(self.world, compiled, self.vocabulary.action_ids)


def are_compatible(formulas: Iterable[CompiledFormula], vocabulary: Vocabulary) -> bool:
    """Return whether some run satisfies all formulas: as if a controller chose the propositions as well."""
    world = new_automaton(vocabulary.proposition_ids)
    state = world.new_state()
    world.new_edge(state, state, buddy.bddtrue)
    process = decision_process(world, formulas, vocabulary.action_ids, vocabulary.proposition_ids)
    return _strategy(process) is not None


def _strategy(process: DecisionProcess) -> Strategy | None:
    """Return a strategy that is accepted almost surely, None if there is none."""
    candidates = (winning_component(part, process) for part in maximal_end_components(process.graph, process))
    winning = [component for component in candidates if component]
    targets = {state for component in winning for state in component.graph}
    region, distances = almost_sure_region(process, targets)
    return Strategy(process, region, distances, winning) if 0 in region else None
