"""Witnesses: a course of events on which a controller breaks a rule, told instant by instant."""

from dataclasses import dataclass

from ..specs.logic import Bdd, buddy, variable
from ..synth.controllers.controller import Controller
from .check import Run


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant: what is the case, where the controller is, the steps it goes through and the action it gives."""

    propositions: tuple[str, ...]
    state: str
    steps: tuple[int, ...]
    action: str

    @property
    def letter(self) -> frozenset[str]:
        """The propositions that are true, the action among them."""
        return frozenset((*self.propositions, self.action))


@dataclass(frozen=True, slots=True)
class Witness:
    """A finite path (`cycle` is empty): whatever follows, the rule is broken. Or a path and a cycle taken for ever."""

    prefix: tuple[Moment, ...]
    cycle: tuple[Moment, ...] = ()


def tell(run: Run, controller: Controller) -> Witness:
    """Return a run of a controller's product as moments; what a run leaves open is taken to be false."""
    state = 0
    moments = []
    for letters in (*run.prefix, *run.cycle):
        propositions, letter = _choose(letters, controller.vocabulary.proposition_ids)
        edge = controller.edge(state, letter)
        moments.append(Moment(propositions, controller.names[state], edge.steps, edge.action))
        state = edge.target
    return Witness(tuple(moments[: len(run.prefix)]), tuple(moments[len(run.prefix) :]))


def _choose(letters: Bdd, names: tuple[str, ...]) -> tuple[tuple[str, ...], Bdd]:
    """Return one letter of a set, as its true propositions and as a diagram; what can be false is false."""
    true = []
    for name in names:
        without = letters & -variable(name)
        if without == buddy.bddfalse:
            true.append(name)
        else:
            letters = without
    return tuple(true), letters
