"""Graded score in a learned world: how probably a run of so many letters keeps a formula.

On a recurrent chain a formula holds with probability 0 or 1 for ever; only a bounded run tells a controller that breaks
a rule once in a while from one that breaks it at once.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, product

from ...specs.learned_world import Label, LearnedWorld
from ...specs.logic import Bdd, Formula, buddy, letter_diagram, owned, variable
from ...specs.processes.deadline import Deadline
from ...specs.vocabulary import Vocabulary
from ...specs.world_description import WorldDescription
from ...synth.controllers.controller import Controller, Letter
from ..checking.compiled import Compiler
from ..checking.trace import Monitor, TraceStatus
from .learned import learned_world

_ENDLESS = Deadline()
_State = tuple[int, int, tuple[int, int]]


class WeightedWorld:
    """A learned world (the graph G of `verify/worlds/learned.py`) with a probability for each letter.

    At each instant a label is drawn first, in proportion to how often it was counted after the label before it (at the
    start: as the first of an episode), among those of them that the description and the exclusions still allow. Where
    none of them can follow, as at an end of observation, all labels that are allowed are equally likely.

    The propositions that are not learned are drawn next: uniformly among the valuations that the constraints allow
    together with the label, hence independently of each other and of the past where there are no constraints. Constant
    propositions are true and absent ones false. So the probabilities are the chain's, not the simulator's: what was
    counted is taken for what is, and what is free for a fair coin.

    Raises WorldError as `learned_world` does.
    """

    def __init__(
        self, learned: LearnedWorld, description: WorldDescription, vocabulary: Vocabulary, compiler: Compiler
    ) -> None:
        self._compiler = compiler
        self._monitors: dict[Formula, Monitor] = {}
        self._names = frozenset(vocabulary.proposition_ids)
        self._world = learned_world(learned, description, vocabulary, compiler)
        graph = self._world.graph
        # Every edge of G is under exactly one label, and so is every state but the initial one.
        self._edges: list[list[tuple[Label, Bdd, int]]] = [
            [(_label(edge.cond, learned.propositions), owned(edge.cond), edge.dst) for edge in graph.out(node)]
            for node in range(graph.num_states())
        ]
        conditions = [condition for edges in self._edges for _, condition, _ in edges]
        self._constrained = frozenset(name for name in self._world.free if _mentions(conditions, name))
        source = {target: label for edges in self._edges for label, _, target in edges}
        counts = {(transition.source, transition.target): transition.count for transition in learned.transitions}
        # None of a state's edges was counted where G goes on as the closure, else all were.
        self._weights = [
            _shares({label: counts.get((source.get(node), label), 1) for label, _, _ in edges})
            for node, edges in enumerate(self._edges)
        ]

    def status_probabilities(
        self, controller: Controller, formula: Formula, num_letters: int, deadline: Deadline = _ENDLESS
    ) -> dict[TraceStatus, float]:
        """Return how probably a run of `num_letters` letters has a formula kept, pending and violated.

        These are the statuses of `TraceStatus`. Raises Unanswered at the deadline, and if the formula takes too long to
        translate.
        """
        if num_letters < 1:
            raise ValueError(f"expected at least one letter, got {num_letters}")
        deadline.check()
        monitor = self._monitor(formula)
        letters = self._letters(controller, formula, deadline)
        start: _State = (0, 0, monitor.initial)
        successors: dict[_State, dict[_State, float]] = {}
        distribution = {start: 1.0}
        for _ in range(num_letters):
            deadline.check()
            following: defaultdict[_State, float] = defaultdict(float)
            for state, probability in distribution.items():
                if state not in successors:
                    deadline.check()
                    successors[state] = _successors(state, letters[state[:2]], monitor)
                for target, share in successors[state].items():
                    following[target] += probability * share
            distribution = following
        probabilities = dict.fromkeys(TraceStatus, 0.0)
        for (_, _, judged), probability in distribution.items():
            probabilities[monitor.status(judged)] += probability
        return probabilities

    def _monitor(self, formula: Formula) -> Monitor:
        if formula not in self._monitors:
            self._monitors[formula] = Monitor(formula, self._compiler)
        return self._monitors[formula]

    def _letters(
        self, controller: Controller, formula: Formula, deadline: Deadline
    ) -> dict[tuple[int, int], dict[tuple[int, int, Letter], float]]:
        """Return what each pair of a state of the world and one of the controller leads to, and how probably.

        That is the next such pair and what the formula sees of the letter. Only those free propositions are enumerated
        that a constraint, a guard or the formula mentions.
        """
        guards = [edge.guard for edges in controller.states for edge in edges]
        enumerated = [
            name
            for name in self._world.free
            if name in self._constrained or name in formula.propositions or _mentions(guards, name)
        ]
        drawn = self._drawn(enumerated)
        diagrams = {letter: self._diagram(letter) for letters in drawn for letter, _ in letters}
        found: dict[tuple[int, int], dict[tuple[int, int, Letter], float]] = {}
        for state in range(len(controller.states)):
            deadline.check()
            reactions = {letter: controller.edge(state, diagram) for letter, diagram in diagrams.items()}
            for node, letters in enumerate(drawn):
                shares: defaultdict[tuple[int, int, Letter], float] = defaultdict(float)
                for (letter, target), share in letters.items():
                    edge = reactions[letter]
                    shares[target, edge.target, (letter | {edge.action}) & formula.propositions] += share
                found[node, state] = shares
        return found

    def _drawn(self, enumerated: Sequence[str]) -> list[dict[tuple[Letter, int], float]]:
        """Return for each state of the world which letter can come, where it leads, and how probably."""
        valuations = list(product((True, False), repeat=len(enumerated)))
        always = frozenset(self._world.constant)
        letters: dict[Label, list[tuple[Letter, Bdd]]] = {}
        for label in {label for edges in self._edges for label, _, _ in edges}:
            with_label = [always.union(label, compress(enumerated, values)) for values in valuations]
            letters[label] = [(letter, self._diagram(letter)) for letter in with_label]
        drawn = []
        for edges, weights in zip(self._edges, self._weights, strict=True):
            # Constraints may remember more than the label, and then edges under one label lead to different states. If
            # edges shared its weight, few letters on an edge would come as often as many on another. So ways share it,
            # a letter and where it leads: each is as likely as the next, which is what a free proposition means here.
            allowed: dict[Label, list[tuple[Letter, int]]] = {label: [] for label in weights}
            for label, condition, target in edges:
                fitting = (letter for letter, diagram in letters[label] if condition & diagram != buddy.bddfalse)
                allowed[label] += ((letter, target) for letter in fitting)
            drawn.append({way: weights[label] / len(ways) for label, ways in allowed.items() for way in ways})
        return drawn

    def _diagram(self, letter: Letter) -> Bdd:
        return letter_diagram(letter, self._names - letter)


def _successors(
    state: _State, letters: Mapping[tuple[int, int, Letter], float], monitor: Monitor
) -> dict[_State, float]:
    """Return the states that can follow a state, and how probably."""
    shares: defaultdict[_State, float] = defaultdict(float)
    for (node, controller_state, seen), share in letters.items():
        shares[node, controller_state, monitor.step(state[2], seen)] += share
    return shares


def _label(condition: Bdd, names: Iterable[str]) -> Label:
    """Return the label that all letters of an edge of G have."""
    return tuple(name for name in names if condition & -variable(name) == buddy.bddfalse)


def _mentions(diagrams: Iterable[Bdd], name: str) -> bool:
    """Return whether the value of a proposition makes a difference to one of the diagrams."""
    return any(buddy.bdd_exist(diagram, variable(name)) != diagram for diagram in diagrams)


def _shares(counts: Mapping[Label, int]) -> dict[Label, float]:
    total = sum(counts.values())
    return {label: count / total for label, count in counts.items()}
