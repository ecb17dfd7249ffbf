import random

import pytest

from verilora.specs.learned_world import LearnedWorld
from verilora.verify.worlds.learning import learn, leaves

EMPTY, P, Q = frozenset(), frozenset({"p"}), frozenset({"q", "unheard of"})


def transitions(learned: LearnedWorld) -> dict[tuple[tuple[str, ...] | None, tuple[str, ...]], int]:
    return {(found.source, found.target): found.count for found in learned.transitions}


def test_counts_first_letters_and_steps_and_no_end_of_an_episode() -> None:
    learned = learn("here", ["p", "q"], [[P, EMPTY, P], [Q], []], labels=7)
    assert learned.labels == 7
    assert transitions(learned) == {(None, ("p",)): 1, (None, ("q",)): 1, (("p",), ()): 1, ((), ("p",)): 1}


def test_only_what_is_learned_counts() -> None:
    assert transitions(learn("here", ["q"], [[P, Q, P]])) == {(None, ()): 1, ((), ("q",)): 1, (("q",), ()): 1}


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one episode with a letter, got none"):
        learn("here", ["p"], [[], []])


def test_coverage_is_measured_on_held_out_episodes() -> None:
    seen = [[P, EMPTY], [P, EMPTY, P]]
    learned = learn("here", ["p"], seen, held_out=[[P, EMPTY], [EMPTY], [P, P], [P]])
    coverage = learned.coverage
    assert (coverage["episodes"], coverage["steps"], coverage["labels"], coverage["transitions"]) == (2, 5, 2, 3)
    assert coverage["missing_mass"] == pytest.approx(1 / 5)
    assert (coverage["held_out_episodes"], coverage["held_out_leaving"]) == (4, 2)
    assert [leaves(learned, episode) for episode in ([P, EMPTY], [EMPTY], [P, P])] == [False, True, True]


def test_a_known_chain_is_learned_ever_better() -> None:
    """Total variation between learned and true transition probabilities falls with the number of episodes."""
    truth = {EMPTY: {EMPTY: 0.7, P: 0.3}, P: {EMPTY: 0.4, P: 0.5, Q: 0.1}, Q: {P: 1.0}}
    random_ = random.Random(7)

    def episode() -> list[frozenset[str]]:
        letters = [EMPTY]
        while len(letters) < 20:
            following = truth[letters[-1]]
            letters += random_.choices(list(following), list(following.values()))
        return letters

    def distance(num_episodes: int) -> float:
        counted = transitions(learn("here", ["p", "q"], [episode() for _ in range(num_episodes)]))
        worst = 0.0
        for source, following in truth.items():
            row = {target: n for (origin, target), n in counted.items() if origin == label(source)}
            total = sum(row.values()) or 1
            targets = {label(target): share for target, share in following.items()}
            worst = max(worst, sum(abs(row.get(t, 0) / total - targets.get(t, 0)) for t in {*row, *targets}) / 2)
        return worst

    distances = [distance(number) for number in (5, 50, 5000)]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 0.02


def label(letter: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(letter & {"p", "q"}))
