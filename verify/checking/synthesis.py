"""Reactive synthesis from LTL: can any controller keep these rules, and which one? Spot solves the games.

It plays against every environment that the world's description and the assumption allow. Fairness assumed here holds
almost surely on the chain of an abstract world, so what is realizable under fairness is realizable there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...specs.logic import Automaton, Formula, buddy, conjunction, cube, exactly_one, new_automaton, one_of, spot
from ...specs.vocabulary import Vocabulary
from ...specs.world_description import WorldDescription
from ...synth.controllers.controller import Controller
from ...synth.controllers.hoa import from_automaton

# Spot's level of bisimulation that also merges states which differ only in choices left open.
_SIMPLIFY = 2


@dataclass(frozen=True, slots=True)
class Game:
    """A world's environment against a controller. `assumption` is what the environment keeps to."""

    description: WorldDescription
    vocabulary: Vocabulary
    assumption: Formula

    def solve(self, guarantees: Iterable[Formula]) -> str | None:
        """Return a strategy that keeps all guarantees, as HOA text, or None if there is none."""
        formula = self._simplified(spot.formula.Implies(self._assumed().ltl, conjunction(guarantees).ltl))
        one_action = spot.formula.G(spot.bdd_to_formula(one_of(self.vocabulary.action_ids)))
        game = spot.ltl_to_game(spot.formula.And([one_action, formula]), self.vocabulary.action_ids)
        if not spot.solve_game(game):
            return None
        machine = spot.solved_game_to_mealy(game)
        spot.simplify_mealy_here(machine, _SIMPLIFY, False)
        return str(machine.to_str("hoa"))

    def best(self, mandatory: Sequence[Formula], rules: Mapping[str, Formula]) -> tuple[list[str], str] | None:
        """Return the fewest rules to drop so that the rest and all that is mandatory can be kept, and a strategy.

        None if not even the mandatory formulas can be kept. Breadth first over what to drop; whatever is dropped
        from a set that cannot be kept must come from each of its cores, so one core is enough to branch on.
        """
        queue: list[frozenset[str]] = [frozenset()]
        for dropped in queue:
            left = [name for name in rules if name not in dropped]
            strategy = self.solve([*mandatory, *(rules[name] for name in left)])
            if strategy is not None:
                return sorted(dropped, key=list(rules).index), strategy
            for name in self._core(mandatory, rules, left):
                if dropped | {name} not in queue:
                    queue.append(dropped | {name})
        return None

    def _core(self, mandatory: Sequence[Formula], rules: Mapping[str, Formula], left: list[str]) -> list[str]:
        """Return a smallest subset (none of it can be spared) that cannot be kept together with the mandatory ones."""
        core = list(left)
        for name in left:
            without = [other for other in core if other != name]
            if self.solve([*mandatory, *(rules[other] for other in without)]) is None:
                core = without
        return core

    def _assumed(self) -> Formula:
        return conjunction((*self.description.constraints, self.assumption))

    def _simplified(self, formula: Any) -> Any:
        """Return a formula with the propositions that never change here replaced by their value."""
        if formula.kind() == spot.op_ap:
            name = formula.ap_name()
            if name in self.description.free or name in self.vocabulary.action_ids:
                return formula
            return spot.formula.tt() if name in self.description.constant else spot.formula.ff()
        return formula.map(self._simplified)


def strategy_controller(hoa: str, vocabulary: Vocabulary) -> Controller:
    """Return the controller of a strategy; where it leaves a choice of actions the first in the vocabulary is taken."""
    strategy = spot.automaton(hoa + "\n")
    determined = new_automaton((*vocabulary.proposition_ids, *vocabulary.action_ids))
    determined.new_states(strategy.num_states())
    determined.set_init_state(strategy.get_init_state_number())
    for state in range(strategy.num_states()):
        _determine(strategy, determined, state, vocabulary)
    return from_automaton(determined, vocabulary)


def _determine(strategy: Automaton, determined: Automaton, state: int, vocabulary: Vocabulary) -> None:
    actions = cube(vocabulary.action_ids)
    open_letters = buddy.bddtrue
    for edge in strategy.out(state):
        for action in vocabulary.action_ids:
            output = exactly_one(vocabulary.action_ids, action)
            guard = buddy.bdd_exist(edge.cond & output, actions) & open_letters
            if guard != buddy.bddfalse:
                determined.new_edge(state, edge.dst, guard & output)
                open_letters = open_letters & -guard
