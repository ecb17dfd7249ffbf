"""Witnesses: a course of events on which a controller breaks a rule, told instant by instant."""

from ...specs.logic import Bdd, buddy, variable
from ...synth.controllers.controller import Controller
from ..checking.lasso import Counterexample
from ..records.verdict import Moment, Witness

SHOWN_MOMENTS = 12
"""How many instants of a path and of a cycle are shown to people; files hold all."""


def tell(run: Counterexample, controller: Controller) -> Witness:
    """Return a run of a controller's product as moments; what a run leaves open is taken to be false."""
    state = 0
    moments = []
    for letters in (*run.prefix, *run.cycle):
        propositions, letter = _choose(letters, controller.vocabulary.proposition_ids)
        edge = controller.edge(state, letter)
        moments.append(
            Moment(propositions=propositions, state=controller.names[state], steps=edge.steps, action=edge.action)
        )
        state = edge.target
    return Witness(prefix=tuple(moments[: len(run.prefix)]), cycle=tuple(moments[len(run.prefix) :]))


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
