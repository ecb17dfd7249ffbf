"""Episodes: one drive from a seed to arrival, crash or horizon, as letters and what became of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium

from ..specs.files.errors import expected_one_of
from ..specs.vocabulary import Vocabulary
from ..synth.controllers.controller import Letter
from .policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """`labels[t]` are the propositions that were true in second t, `actions[t]` is the action chosen on them.

    One of `arrived`, `crashed` and neither (the horizon) ended it; `at_fault` only with `crashed`.
    """

    policy: str
    seed: int
    labels: tuple[tuple[str, ...], ...]
    actions: tuple[str, ...]
    arrived: bool
    crashed: bool
    at_fault: bool

    @property
    def letters(self) -> list[Letter]:
        """The propositions and the action of each second."""
        return [frozenset((*labels, action)) for labels, action in zip(self.labels, self.actions, strict=True)]


def run_episode(
    env: gymnasium.Env[Any, Any],
    policy: Policy,
    policy_name: str,
    seed: int,
    vocabulary: Vocabulary,
    watch: Callable[[tuple[str, ...], str], None] | None = None,
) -> Episode:
    """Return the episode that a policy drives in an environment from a seed; `watch` is called in each second.

    Raises ValueError for an action that the vocabulary lacks.
    """
    _, info = env.reset(seed=seed)
    labels, actions = [], []
    ended = False
    while not ended:
        labels.append(tuple(name for name in vocabulary.proposition_ids if name in info["labels"]))
        actions.append(policy(frozenset(labels[-1])))
        if actions[-1] not in vocabulary.action_ids:
            known = expected_one_of(str(actions[-1]), vocabulary.action_ids)
            raise ValueError(f"unknown action of the policy {policy_name!r}: {known}")
        if watch:
            watch(labels[-1], actions[-1])
        _, _, terminated, truncated, info = env.step(vocabulary.action_ids.index(actions[-1]))
        ended = terminated or truncated
    return Episode(
        policy=policy_name,
        seed=seed,
        labels=tuple(labels),
        actions=tuple(actions),
        arrived=bool(info["arrived"]),
        crashed=bool(info["crashed"]),
        at_fault=bool(info["at_fault"]),
    )
