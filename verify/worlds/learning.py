"""Learning a world from episodes: a first-order chain over the labels of a few propositions, and what it missed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import log, sqrt
from typing import Any

from ...specs.learned_world import FORMAT, Label, LearnedWorld, Transition
from ...specs.world_description import Exclusion
from ...synth.controllers.controller import Letter
from ..records.interval import upper_bound

Trace = Sequence[Letter]
_Step = tuple[Label | None, Label]


def learn(
    world: str,
    propositions: Sequence[str],
    episodes: Sequence[Trace],
    exclusions: Iterable[Exclusion] = (),
    provenance: dict[str, Any] | None = None,
    held_out: Sequence[Trace] = (),
    labels: int | None = None,
) -> LearnedWorld:
    """Return the chain that was counted in the episodes, with its coverage measured on those held out.

    A letter may hold more than the learned propositions. The end of an episode is not a transition. `labels` is the
    version of the labels, None if no simulator that ships gave them.
    """
    if not any(episodes):
        raise ValueError("expected at least one episode with a letter, got none")
    counts = Counter(step for episode in episodes for step in _steps(episode, propositions))
    ordered = sorted(counts.items(), key=lambda item: (item[0][0] is not None, item[0]))
    return LearnedWorld(
        format=FORMAT,
        labels=labels,
        world=world,
        propositions=tuple(propositions),
        exclusions=tuple(exclusions),
        transitions=tuple(Transition(source=source, target=target, count=n) for (source, target), n in ordered),
        coverage=_coverage(counts, propositions, episodes, held_out),
        provenance=provenance or {},
    )


def leaves(learned: LearnedWorld, episode: Trace) -> bool:
    """Return whether an episode takes a transition that the chain never saw."""
    seen = {(transition.source, transition.target) for transition in learned.transitions}
    return any(step not in seen for step in _steps(episode, learned.propositions))


def _steps(episode: Trace, propositions: Sequence[str]) -> Iterator[_Step]:
    source = None
    for letter in episode:
        target = tuple(name for name in propositions if name in letter)
        yield source, target
        source = target


def _coverage(
    counts: Counter[_Step], propositions: Sequence[str], episodes: Sequence[Trace], held_out: Sequence[Trace]
) -> dict[str, Any]:
    """Return how much was seen, how much is estimated to be missing, and how held-out episodes fared."""
    num_steps = counts.total()
    num_once = sum(count == 1 for count in counts.values())
    num_leaving = sum(any(step not in counts for step in _steps(episode, propositions)) for episode in held_out)
    return {
        "episodes": len(episodes),
        "steps": num_steps,
        "labels": len({target for _, target in counts}),
        "transitions": len(counts),
        # Good-Turing: the share of steps that would be new; with the tail of McDiarmid's inequality as if they were
        # independent, which the steps of one episode are not. The bound on episodes below does not need that.
        "missing_mass": num_once / num_steps,
        "missing_mass_bound": min(1.0, num_once / num_steps + (1 + sqrt(2)) * sqrt(log(2 / 0.05) / num_steps)),
        "held_out_episodes": len(held_out),
        "held_out_leaving": num_leaving,
        "leaving_bound": upper_bound(num_leaving, len(held_out)),
    }
