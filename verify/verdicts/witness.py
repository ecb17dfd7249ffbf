"""Witnesses: a course of events on which a controller breaks a rule, told instant by instant."""

import json

from ...specs.logic import Bdd, buddy, variable
from ...synth.controllers.controller import Controller
from ..checking.lasso import Counterexample
from ..records.verdict import Moment, Verdict, Witness

SHOWN_MOMENTS = 12
"""How many instants of a path and of a cycle stand in reports."""
MAX_INSTANTS = 64
"""How many instants of a witness are told, unless all are asked for."""
MAX_NAME = 64
# Of a verdict's JSON, with room below 64 kB for the name of a file; so few instants take less, whatever they hold.
MAX_BYTES = 59_000
FEW_INSTANTS = 24


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


def shortened(verdict: Verdict) -> Verdict:
    """Return a verdict whose witnesses have at most 64 instants each, or fewer, so that its JSON stays below 64 kB."""
    most = MAX_INSTANTS
    short = _with_at_most(verdict, most)
    while most > 1 and _num_instants(short) > FEW_INSTANTS and _num_bytes(short) > MAX_BYTES:
        most //= 2
        short = _with_at_most(verdict, most)
    return short


def cut(witness: Witness, most: int) -> Witness:
    """Return a witness of at most so many instants: what leads up to the end of its path, and how its cycle begins."""
    prefix, cycle = witness.prefix, witness.cycle
    # A cycle never becomes empty, because it would then be said that the path alone settles it.
    num_cycle = min(len(cycle), max(1, most // 2, most - len(prefix)))
    num_before = max(0, len(prefix) - (most - num_cycle))
    return Witness(
        prefix=tuple(map(_named_briefly, prefix[num_before:])),
        cycle=tuple(map(_named_briefly, cycle[:num_cycle])),
        num_before=num_before,
        num_after=len(cycle) - num_cycle,
    )


def _with_at_most(verdict: Verdict, most: int) -> Verdict:
    def short(witness: Witness | None) -> dict[str, Witness | None]:
        return {"witness": cut(witness, most) if witness else None}

    rules = tuple(rule.model_copy(update=short(rule.witness)) for rule in verdict.rules)
    gates = tuple(gate.model_copy(update=short(gate.witness)) for gate in verdict.gates)
    return verdict.model_copy(update={"rules": rules, "gates": gates})


def _named_briefly(moment: Moment) -> Moment:
    """Return an instant at which the name of a state, which a file may give, has a length that fits a line."""
    if len(moment.state) <= MAX_NAME:
        return moment
    return moment.model_copy(update={"state": moment.state[: MAX_NAME - 1] + "…"})


def _num_instants(verdict: Verdict) -> int:
    witnesses = (*(rule.witness for rule in verdict.rules), *(gate.witness for gate in verdict.gates))
    return sum(len(witness.prefix) + len(witness.cycle) for witness in witnesses if witness)


def _num_bytes(verdict: Verdict) -> int:
    return len(json.dumps([verdict.to_json()], indent=2))
