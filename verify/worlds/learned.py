"""Learned worlds as graphs: what was seen (G), and what nothing excludes (G+).

G is a first-order chain over the labels of at most four propositions, everything else free on its edges. G+ is the
world's description with the stated exclusions as constraints. A label that no other was seen to follow goes on as in
G+; the end of an episode is never a transition.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import compress, product

from ...specs.learned_world import Label, LearnedWorld
from ...specs.logic import Automaton, Bdd, Formula, buddy, letter_diagram, new_automaton
from ...specs.vocabulary import Vocabulary
from ...specs.world_description import WorldDescription
from ..checking.compiled import Compiler
from .world import World, WorldError, WorldKind, abstract_world


def learned_world(
    learned: LearnedWorld, description: WorldDescription, vocabulary: Vocabulary, compiler: Compiler
) -> World:
    """Return a learned world with its closure; raises WorldError if a transition that was seen is excluded."""
    # Those of the world hold for propositions that were not learned, too.
    excluded = dict.fromkeys(exclusion.formula for exclusion in (*description.exclusions, *learned.exclusions))
    # What is learned need not keep the fairness that synthesis assumes of the description.
    closed = description.model_copy(
        update={"constraints": (*description.constraints, *excluded), "fairness": Formula("true")}
    )
    closure = replace(
        abstract_world(learned.world, closed, vocabulary, compiler),
        kind=WorldKind.SIMULATED,
        fairness=description.fairness,
    )
    return replace(
        closure,
        graph=_seen_graph(learned, closure.graph, vocabulary),
        free=tuple(name for name in closure.free if name not in learned.propositions),
        learned=learned.propositions,
        closure=closure,
    )


def ends_of_observation(learned: LearnedWorld) -> list[Label]:
    """Return the labels that were seen, but nothing after them."""
    sources = {transition.source for transition in learned.transitions}
    return sorted({transition.target for transition in learned.transitions} - sources)


def unseen_transitions(learned: LearnedWorld, closure: Automaton) -> dict[Label | None, list[Label]]:
    """Return what was never seen but G+ allows: from each label (None: the start) the labels that may follow."""
    names = learned.propositions
    all_labels = [tuple(compress(names, bits)) for bits in product((True, False), repeat=len(names))]
    frontier: list[tuple[Label | None, int]] = [(None, closure.get_init_state_number())]
    possible: dict[Label | None, dict[Label, None]] = {}
    for label, state in frontier:
        for target, _, closure_target in _edges(closure, state, all_labels, names):
            possible.setdefault(label, {})[target] = None
            if (target, closure_target) not in frontier:
                frontier.append((target, closure_target))
    seen = {(transition.source, transition.target) for transition in learned.transitions}
    return {label: [target for target in found if (label, target) not in seen] for label, found in possible.items()}


def _seen_graph(learned: LearnedWorld, closure: Automaton, vocabulary: Vocabulary) -> Automaton:
    """Return G: what was seen, restricted to the closure; where nothing seen can follow, all that the closure allows.

    Its states are pairs of a label (None before the first letter) and a state of the closure.
    """
    following: dict[Label | None, list[Label]] = {}
    for transition in learned.transitions:
        following.setdefault(transition.source, []).append(transition.target)
    names = learned.propositions
    all_labels = [tuple(compress(names, bits)) for bits in product((True, False), repeat=len(names))]
    graph = new_automaton(vocabulary.proposition_ids)
    start: tuple[Label | None, int] = (None, closure.get_init_state_number())
    number = {start: graph.new_state()}
    graph.set_init_state(0)
    taken: set[tuple[Label | None, Label]] = set()
    frontier = [start]
    for label, state in frontier:
        edges = _edges(closure, state, following.get(label, []), names)
        taken |= {(label, target) for target, _, _ in edges}
        for target, letters, closure_target in edges or _edges(closure, state, all_labels, names):
            node = (target, closure_target)
            if node not in number:
                number[node] = graph.new_state()
                frontier.append(node)
            graph.new_edge(number[label, state], number[node], letters)
    for source, targets in following.items():
        for target in targets:
            if (source, target) not in taken:
                step = f"the transition {_words(source)} → {_words(target)}"
                raise WorldError(f"world {learned.world!r}: {step} was seen, but is excluded or out of reach")
    return graph


def _edges(
    closure: Automaton, state: int, targets: Iterable[Label], names: tuple[str, ...]
) -> list[tuple[Label, Bdd, int]]:
    """Return the closure's edges from a state under each of the labels."""
    letters = {target: letter_diagram(target, {*names} - {*target}) for target in targets}
    return [
        (target, edge.cond & label, edge.dst)
        for target, label in letters.items()
        for edge in closure.out(state)
        if edge.cond & label != buddy.bddfalse
    ]


def _words(label: Label | None) -> str:
    return "the start" if label is None else " & ".join(label) or "nothing"
