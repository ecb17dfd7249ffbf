"""Worlds as graphs: which letters can follow which.

A world's graph has letters over propositions on its edges, and every infinite path of it is a course of events. As
long as nothing is learned about a world one edge stands for all letters that it allows (a decision diagram), so most
have a single state; `explicit_world` spells the same world out, one state a letter.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.logic import (
    Automaton,
    Bdd,
    Formula,
    buddy,
    conjunction,
    letter_diagram,
    new_automaton,
    spot,
    variable,
)
from ...specs.processes.forked import Unanswered
from ...specs.vocabulary import Vocabulary
from ...specs.world_description import UNIVERSAL, WorldDescription
from ..checking.check import Runs, find_violation
from ..checking.compiled import Compiler


class WorldKind(StrEnum):
    """Where a world comes from: learned from a simulator, its description alone, or nothing (all is possible)."""

    SIMULATED = "simulated"
    ABSTRACT = "abstract"
    UNIVERSAL = "universal"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A world ready to be checked. `learned` and `free` tell which propositions were learned and which vary freely.

    The graph of a learned world (G) has the edges that were seen; its `closure` (G+) all that nothing excludes.
    """

    name: str
    kind: WorldKind
    graph: Automaton
    free: tuple[str, ...]
    constant: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()
    fairness: Formula
    closure: "World | None" = None

    def has(self, proposition: str) -> bool:
        """Return whether the thing exists here; the letter of one that does not is false."""
        return proposition in self.free or proposition in self.constant or proposition in self.learned


class WorldError(ValueError):
    """A world that cannot be judged in."""


def abstract_world(name: str, description: WorldDescription, vocabulary: Vocabulary, compiler: Compiler) -> World:
    """Return the world that a description allows.

    Raises WorldError if its constraints leave no run, if its fairness does not hold almost surely (synthesis could
    then promise what the chain does not keep), or if either takes too long to translate.
    """
    exists = {*description.free, *description.constant}
    absent = [proposition for proposition in vocabulary.proposition_ids if proposition not in exists]
    graph = new_automaton(vocabulary.proposition_ids)
    state = graph.new_state()
    graph.new_edge(state, state, letter_diagram(description.constant, absent))
    try:
        if description.constraints:
            allowed = conjunction(description.constraints)
            graph = spot.product(graph, compiler.monitor(allowed))
            graph.purge_dead_states()
            if graph.is_empty():
                raise WorldError(f"no run satisfies the constraints {allowed.text!r}")
        fairness = compiler.compile(description.fairness)
    except Unanswered as error:
        raise WorldError(str(error)) from None
    if not graph.intersects(fairness.automaton):
        raise WorldError(f"no run satisfies the fairness {description.fairness.text!r}")
    if find_violation(graph, fairness, Runs.CHAIN):
        raise WorldError(f"the fairness {description.fairness.text!r} can fail with positive probability")
    kind = WorldKind.UNIVERSAL if name == UNIVERSAL else WorldKind.ABSTRACT
    return World(
        name=name,
        kind=kind,
        graph=graph,
        free=description.free,
        constant=description.constant,
        fairness=description.fairness,
    )


def world_of(domain: Domain, name: str, compiler: Compiler) -> World:
    """Return a world as its domain describes it; raises InputError instead of WorldError."""
    try:
        return abstract_world(name, domain.world(name), domain.vocabulary, compiler)
    except WorldError as error:
        raise InputError(domain.folder / "worlds.yaml", str(error), field=f"worlds.{name}") from None


def explicit_world(world: World) -> World:
    """Return the same world with one state for each letter (and each state of the graph), after a fresh initial one."""
    source = world.graph
    graph = new_automaton(ap.ap_name() for ap in source.ap())
    start = (source.get_init_state_number(), None)
    number: dict[tuple[int, int | None], int] = {start: graph.new_state()}
    graph.set_init_state(0)
    frontier = [start]
    for node in frontier:
        for edge in source.out(node[0]):
            for letter in _letters(edge.cond, world.free):
                target = (edge.dst, letter.id())
                if target not in number:
                    number[target] = graph.new_state()
                    frontier.append(target)
                graph.new_edge(number[node], number[target], letter)
    return replace(world, graph=graph)


def _letters(allowed: Bdd, free: tuple[str, ...]) -> Iterator[Bdd]:
    """Yield the single letters in a set of letters."""
    if allowed == buddy.bddfalse:
        return
    if not free:
        yield allowed
        return
    for literal in (variable(free[0]), -variable(free[0])):
        yield from _letters(allowed & literal, free[1:])
