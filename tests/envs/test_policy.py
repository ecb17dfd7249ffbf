"""Policies: what explores, and a controller at the wheel."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verilora.envs.episode import run_episode
from verilora.envs.policy import ControllerPolicy, explorers
from verilora.envs.scenario import make_env
from verilora.specs.domain import Domain, load_domain
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.build import parse_controller
from verilora.synth.controllers.controller import Ending, Letter, Reading

from controllers import AFTER_LOOPING, BEFORE

VOCABULARY = load_domain("driving").vocabulary
LETTERS = st.frozensets(st.sampled_from(VOCABULARY.proposition_ids))
MOVES = {"go_straight", "turn_left", "turn_right"}
SIGNALS = {"green_traffic_light", "green_left_turn_light", "stop_sign", "at_line"}


def actions(name: str, seed: int, labels: list[Letter]) -> list[str]:
    policy = explorers(VOCABULARY)[name](random.Random(seed))
    return [policy(letter) for letter in labels]


def test_the_three_explorers() -> None:
    assert set(explorers(VOCABULARY)) == {"random", "cautious", "bold"}


@given(st.lists(LETTERS, max_size=60), st.integers(0, 2**32), st.sampled_from(["random", "cautious", "bold"]))
def test_a_seed_decides_what_an_explorer_does(labels: list[Letter], seed: int, name: str) -> None:
    assert actions(name, seed, labels) == actions(name, seed, labels)
    assert set(actions(name, seed, labels)) <= {*VOCABULARY.action_ids}


def test_random_mostly_waits_and_makes_every_move() -> None:
    found = actions("random", 0, [frozenset()] * 6000)
    assert 0.95 < found.count("stop") / len(found) < 0.98
    assert set(found) == {"stop", *MOVES}
    assert actions("random", 1, [frozenset()] * 6000) != found


@given(LETTERS, st.integers(0, 2**32))
def test_cautious_waits_while_something_is_in_the_way(labels: Letter, seed: int) -> None:
    (move,) = actions("cautious", seed, [frozenset()])
    assert move in MOVES
    assert actions("cautious", seed, [labels, frozenset(), labels & SIGNALS]) == [
        "stop" if labels - SIGNALS else move,
        move,
        move,
    ]


@given(st.lists(LETTERS, min_size=1), st.integers(0, 2**32))
def test_bold_makes_one_move_whatever_happens(labels: list[Letter], seed: int) -> None:
    (action,) = set(actions("bold", seed, labels))
    assert action in MOVES


@pytest.mark.parametrize("name", ["cautious", "bold"])
def test_each_move_is_somebodys(name: str) -> None:
    assert {actions(name, seed, [frozenset()])[0] for seed in range(30)} == MOVES


@given(
    st.lists(LETTERS, min_size=1, max_size=20), st.sampled_from([BEFORE, AFTER_LOOPING]), st.sampled_from(list(Ending))
)
def test_a_controller_drives_as_it_reacts(labels: list[Letter], text: str, ending: Ending) -> None:
    controller = parse_controller(text, Alignment(VOCABULARY), Reading(ending=ending))
    policy = ControllerPolicy(controller)
    assert (policy.state, policy.steps) == (0, ())
    state = 0
    for letter in labels:
        edge = controller.react(state, letter)
        assert policy(letter) == edge.action
        assert (policy.state, policy.steps) == (edge.target, edge.steps)
        state = edge.target


def test_the_steps_of_an_instant_are_shown(driving: Domain) -> None:
    controller = parse_controller(BEFORE, Alignment(driving.vocabulary), Reading(ending=Ending.ONE_SHOT))
    policy = ControllerPolicy(controller)
    assert (policy(frozenset()), policy.steps) == ("stop", (1,))
    assert (policy(frozenset({"green_traffic_light"})), policy.steps[-1]) == ("go_straight", 1)
    assert policy(frozenset()) == "stop"
    assert set(policy.steps) <= {1, 2, 3, 4} - {1}


@pytest.mark.parametrize("name", ["random", "cautious", "bold"])
def test_an_episode_is_what_was_seen_and_done(driving: Domain, name: str) -> None:
    vocabulary = driving.vocabulary
    seen: list[tuple[tuple[str, ...], str]] = []

    def drive(watch: object) -> object:
        env = make_env("wide_median")
        policy = explorers(vocabulary)[name](random.Random(5))
        return run_episode(env, policy, name, 5, vocabulary, watch)

    episode = drive(lambda labels, action: seen.append((labels, action)))
    assert seen == list(zip(episode.labels, episode.actions, strict=True))
    assert drive(None) == episode
    for letter, labels, action in zip(episode.letters, episode.labels, episode.actions, strict=True):
        assert letter == {*labels, action}
        assert len(letter & {*vocabulary.action_ids}) == 1
        assert labels == tuple(proposition for proposition in vocabulary.proposition_ids if proposition in labels)


@pytest.mark.parametrize("action", ["turn_rigth", "Stop", "", -1, 0, None])
def test_an_action_that_the_vocabulary_lacks_is_named(action: object, driving: Domain) -> None:
    env = make_env("two_way_stop")
    message = f"unknown action of the policy 'mine': got {str(action)!r}, expected one of go_straight, stop"
    with pytest.raises(ValueError, match=message):
        run_episode(env, lambda labels: action, "mine", 1, driving.vocabulary)
