"""Controllers: deterministic, input-complete Mealy machines."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ...specs.files.errors import expected_one_of
from ...specs.logic import Automaton, Bdd, buddy, exactly_one, letter_diagram, new_automaton, spot, variable
from ...specs.vocabulary import Vocabulary
from .condition import guard_text
from .steps import InvalidController

Letter = frozenset[str]


class Ending(StrEnum):
    """What follows the last step: step 1 again, at once, or nothing: the run ends (in paper mode it idles for ever)."""

    PATROL = "patrol"
    ONE_SHOT = "one-shot"


class Otherwise(StrEnum):
    """What an omitted `otherwise` means: idle and remain, or (as GLM2FSA's code has it) idle and go on."""

    STAY = "stay"
    ADVANCE = "advance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How steps are read where they leave something open; recorded with every verdict."""

    ending: Ending = Ending.PATROL
    otherwise: Otherwise = Otherwise.STAY


@dataclass(frozen=True, slots=True)
class Edge:
    """Under the letters of `guard`, give `action` and be in `target` at the next letter.

    `steps` are the steps gone through at this instant, the one that takes the time last; none for a machine that
    was not built from steps.
    """

    guard: Bdd
    action: str
    target: int
    steps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Controller:
    """A machine over the vocabulary; it starts in state 0. `states[q]` are the edges that leave state q.

    `end` is the state after the last step of a run that ends there, where a machine that goes on idles (None: it never
    ends). The action belongs to the same letter as the propositions that chose it (no lag). Raises InvalidController if
    two edges of a state overlap or leave a letter without reaction, or one names no action or state that is there.
    """

    vocabulary: Vocabulary
    states: tuple[tuple[Edge, ...], ...]
    names: tuple[str, ...]
    num_steps: int
    end: int | None = None

    def __post_init__(self) -> None:
        for name, edges in zip(self.names, self.states, strict=True):
            covered = buddy.bddfalse
            for edge in edges:
                if edge.action not in self.vocabulary.action_ids:
                    known = expected_one_of(str(edge.action), self.vocabulary.action_ids)
                    raise InvalidController(f"{name}: unknown action: {known}")
                if not 0 <= edge.target < len(self.states):
                    known = f"got {edge.target}, expected one of {len(self.states)} states, from 0 on"
                    raise InvalidController(f"{name}: unknown target: {known}")
                overlap = covered & edge.guard
                if overlap != buddy.bddfalse:
                    raise InvalidController(f"ambiguous: {name} has two reactions to {self._example(overlap)}")
                covered = covered | edge.guard
            if covered != buddy.bddtrue:
                raise InvalidController(f"incomplete: {name} has no reaction to {self._example(-covered)}")

    def react(self, state: int, letter: Iterable[str]) -> Edge:
        """Return the edge that a state takes under a letter, the set of propositions that are true."""
        true = frozenset(letter)
        names = self.vocabulary.proposition_ids
        return self.edge(state, letter_diagram(true & set(names), (name for name in names if name not in true)))

    def edge(self, state: int, letter: Bdd) -> Edge:
        """Return the edge that a state takes under a letter given as a decision diagram."""
        return next(edge for edge in self.states[state] if edge.guard & letter != buddy.bddfalse)

    def automaton(self, *, ends: bool = False) -> Automaton:
        """Return the machine as a Spot automaton that accepts all its runs; letters hold exactly one action.

        With `ends` nothing follows its end; else it idles there for ever.
        """
        automaton = new_automaton((*self.vocabulary.proposition_ids, *self.vocabulary.action_ids))
        outputs = {action: exactly_one(self.vocabulary.action_ids, action) for action in self.vocabulary.action_ids}
        automaton.new_states(len(self.states))
        automaton.set_init_state(0)
        for state, edges in enumerate(self.states):
            for edge in () if ends and state == self.end else edges:
                automaton.new_edge(state, edge.target, edge.guard & outputs[edge.action])
        return automaton

    def _example(self, letters: Bdd) -> str:
        if letters == buddy.bddtrue:
            return "any letter"
        return repr(guard_text(buddy.bdd_satone(letters), self.vocabulary))


def are_equivalent(left: Controller, right: Controller) -> bool:
    """Return whether two controllers over one vocabulary give the same actions on every sequence of letters."""
    return bool(spot.are_equivalent(left.automaton(), right.automaton()))


def always(action: str, vocabulary: Vocabulary) -> Controller:
    """Return the controller that gives one action for ever."""
    variable(action)
    return Controller(vocabulary, ((Edge(buddy.bddtrue, action, 0),),), ("the only state",), 1)
