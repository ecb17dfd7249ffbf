"""Learned worlds as graphs: what was seen (G), and what nothing excludes (G+).

G is a first-order chain over the labels of at most four propositions, everything else free on its edges. G+ is the
world's description with the stated exclusions as constraints. A label that no other was seen to follow goes on as in
G+; the end of an episode is never a transition.
"""

from dataclasses import replace
from itertools import compress, product

from ..specs.learned_world import Label, LearnedWorld
from ..specs.logic import Automaton, letter_diagram, new_automaton, spot
from ..specs.vocabulary import Vocabulary
from ..specs.world_description import WorldDescription
from .world import World, WorldError, WorldKind, abstract_world


def learned_world(learned: LearnedWorld, description: WorldDescription, vocabulary: Vocabulary) -> World:
    """Return a learned world with its closure; raises WorldError if a transition that was seen is excluded."""
    excluded = tuple(exclusion.formula for exclusion in learned.exclusions)
    closed = description.model_copy(update={"constraints": (*description.constraints, *excluded)})
    closure = replace(abstract_world(learned.world, closed, vocabulary), kind=WorldKind.SIMULATED)
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


def _seen_graph(learned: LearnedWorld, closure: Automaton, vocabulary: Vocabulary) -> Automaton:
    """Return G: the chain over labels, restricted to what the closure allows where observation ends."""
    chain = new_automaton(vocabulary.proposition_ids)
    seen = {(transition.source, transition.target) for transition in learned.transitions}
    labels = _labels(learned)
    state_of: dict[Label | None, int] = {None: 0} | {label: number for number, label in enumerate(labels, start=1)}
    sources = {source for source, _ in seen}
    # Beyond the end of observation anything can follow, also labels that were never seen.
    open_ended = [label for label in labels if label not in sources] if ends_of_observation(learned) else []
    chain.new_states(len(state_of))
    chain.set_init_state(0)
    for source, target in [*sorted(seen, key=str), *product(open_ended, labels)]:
        label = letter_diagram(target, {*learned.propositions} - {*target})
        chain.new_edge(state_of[source], state_of[target], label)
    graph = spot.product(chain, closure)
    chain_state = [pair[0] for pair in graph.get_product_states()]
    left = {(chain_state[edge.src], chain_state[edge.dst]) for edge in graph.edges()}
    for source, target in seen:
        if (state_of[source], state_of[target]) not in left:
            step = f"{_words(source)} → {_words(target)}"
            raise WorldError(
                f"world {learned.world!r}: the transition {step} was seen, but is excluded or out of reach"
            )
    return graph


def _labels(learned: LearnedWorld) -> list[Label]:
    """Return the labels that were seen; all labels if observation ends somewhere."""
    if ends_of_observation(learned):
        names = learned.propositions
        return [tuple(compress(names, bits)) for bits in product((True, False), repeat=len(names))]
    return sorted({transition.target for transition in learned.transitions})


def _words(label: Label | None) -> str:
    return "the start" if label is None else " & ".join(label) or "nothing"
