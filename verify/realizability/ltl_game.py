"""Reactive synthesis from LTL: can any controller keep these rules, and which one? Spot solves the games.

It plays against every environment that the world's description and the assumption allow. Fairness assumed here holds
almost surely on the chain of an abstract world, so what is realizable under fairness is realizable there
(`chain_game.py`). The converse fails.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...specs.logic import Automaton, Formula, buddy, conjunction, cube, exactly_one, new_automaton, one_of, spot
from ...specs.vocabulary import Vocabulary
from ...specs.world_description import WorldDescription
from ...synth.controllers.controller import Controller
from ...synth.controllers.hoa import from_automaton
from .strategy import SIMPLIFY


@dataclass(frozen=True, slots=True)
class LtlGame:
    """A world's environment against a controller. `assumption` is what the environment keeps to."""

    description: WorldDescription
    vocabulary: Vocabulary
    assumption: Formula

    def solve(self, guarantees: Iterable[Formula]) -> str | None:
        """Return a strategy that keeps all guarantees, as HOA text, or None if there is none."""
        game = self._game(guarantees)
        if not spot.solve_game(game):
            return None
        machine = spot.solved_game_to_mealy(game)
        spot.simplify_mealy_here(machine, SIMPLIFY, False)
        return str(machine.to_str("hoa"))

    def is_winnable(self, guarantees: Iterable[Formula]) -> bool:
        """Return whether a controller can keep all guarantees."""
        return bool(spot.solve_game(self._game(guarantees)))

    def _game(self, guarantees: Iterable[Formula]) -> Automaton:
        formula = self._simplified(spot.formula.Implies(self._assumed().ltl, conjunction(guarantees).ltl))
        one_action = spot.formula.G(spot.bdd_to_formula(one_of(self.vocabulary.action_ids)))
        return spot.ltl_to_game(spot.formula.And([one_action, formula]), self.vocabulary.action_ids)

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
