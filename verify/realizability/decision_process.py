"""A chain world and what is asked of a controller in it, as a Markov decision process.

In each state a letter is drawn, every allowed one with positive probability; the controller sees it and chooses an
action. Choices that lose something for ever are left out. Letters that allow the same choices stay together: a choice
bears the set of letters on which it can be made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...specs.logic import Automaton, Bdd, buddy, cube, one_of, owned
from ..checking.compiled import CompiledFormula
from .acceptance import Acceptance
from .monitored import Part, parts_of

_Node = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """On each of `letters` an action can be given that leads to `target`; `guard` holds letters and actions.

    `marks` are bits, see `Acceptance`.
    """

    guard: Bdd
    letters: Bdd
    target: int
    marks: int


Graph = dict[int, tuple[Choice, ...]]
"""Some states of a process, with some of their choices."""


@dataclass(frozen=True, slots=True)
class DecisionProcess:
    """It starts in state 0. `drawn[q]` are the letters that can come in state q, `choices[q]` what can be done."""

    drawn: tuple[Bdd, ...]
    choices: tuple[tuple[Choice, ...], ...]
    acceptance: Acceptance

    @property
    def graph(self) -> Graph:
        """All states and choices."""
        return dict(enumerate(self.choices))


def decision_process(
    world: Automaton, formulas: Iterable[CompiledFormula], action_ids: Sequence[str], chosen: Iterable[str] = ()
) -> DecisionProcess:
    """Return the process of a deterministic world in which all formulas are to be kept.

    The controller chooses one of the actions; of `chosen` propositions it chooses what is true as well.
    """
    always, parts = parts_of(formulas)
    return _Product(world, always & one_of(action_ids), parts, cube((*action_ids, *chosen))).process()


class _Product:
    """Steps world and parts together, from the initial state on."""

    def __init__(self, world: Automaton, always: Bdd, parts: Sequence[Part], chosen: Bdd) -> None:
        self._world = world
        self._always = always
        self._parts = parts
        self._chosen = chosen
        self._first_marks = []
        num_marks = 0
        for part in parts:
            self._first_marks.append(num_marks)
            num_marks += max(part.acceptance.used_sets().max_set(), 0)

    def process(self) -> DecisionProcess:
        initial = (self._world.get_init_state_number(), *(part.initial for part in self._parts))
        number = {initial: 0}
        frontier = [initial]
        drawn, choices = [], []
        for node in frontier:
            found = self._choices(node)
            for _, target, _ in found:
                if target not in number:
                    number[target] = len(frontier)
                    frontier.append(target)
            drawn.append(self._drawn(node[0]))
            choices.append(
                tuple(
                    Choice(guard, buddy.bdd_exist(guard, self._chosen), number[target], marks)
                    for guard, target, marks in found
                )
            )
        codes = (part.acceptance for part in self._parts)
        return DecisionProcess(
            tuple(drawn), tuple(choices), Acceptance(tuple(zip(self._first_marks, codes, strict=True)))
        )

    def _drawn(self, state: int) -> Bdd:
        letters = buddy.bddfalse
        for edge in self._world.out(state):
            letters = letters | edge.cond
        return buddy.bdd_exist(letters, self._chosen)

    def _choices(self, node: _Node) -> list[tuple[Bdd, _Node, int]]:
        """Return what can be done in a state; the letters that lead to one place with the same marks are one set."""
        found: dict[tuple[_Node, int], Bdd] = {}
        for edge in self._world.out(node[0]):
            _add(found, ((edge.dst,), 0), owned(edge.cond) & self._always)
        for part, state, first in zip(self._parts, node[1:], self._first_marks, strict=True):
            further: dict[tuple[_Node, int], Bdd] = {}
            for (target, marks), letters in found.items():
                for move in part.moves[state]:
                    key = ((*target, move.target), marks | move.marks << first)
                    _add(further, key, letters & move.letters)
            found = further
        return [(letters, target, marks) for (target, marks), letters in found.items()]


def _add(found: dict[tuple[_Node, int], Bdd], key: tuple[_Node, int], letters: Bdd) -> None:
    if letters != buddy.bddfalse:
        found[key] = found[key] | letters if key in found else letters
