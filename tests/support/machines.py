"""Large machines in HOA: random ones, and rings that do something wrong in their last state only."""

from collections.abc import Callable
from random import Random

from verilora.specs.vocabulary import Vocabulary

NAME = "\N{VIOLIN}" * 64


def random_machine(vocabulary: Vocabulary, num_states: int, seed: int = 0, num_conditions: int = 3) -> str:
    """Return a machine whose states look at some propositions each, and then go anywhere with any action."""
    random = Random(seed)

    def reaction(_state: int) -> tuple[str, int]:
        return random.choice(vocabulary.action_ids), random.randrange(num_states)

    return _machine(vocabulary, num_states, random, num_conditions, reaction)


def ring(vocabulary: Vocabulary, num_states: int) -> str:
    """Return a machine that idles from state to state and acts in the last one as chance will have it."""
    random = Random(0)

    def reaction(state: int) -> tuple[str, int]:
        action = vocabulary.idle if state < num_states - 1 else random.choice(vocabulary.action_ids)
        return action, (state + 1) % num_states

    return _machine(vocabulary, num_states, random, 5, reaction)


def _machine(
    vocabulary: Vocabulary,
    num_states: int,
    random: Random,
    num_conditions: int,
    reaction: Callable[[int], tuple[str, int]],
) -> str:
    names = [*vocabulary.proposition_ids, *vocabulary.action_ids]
    number = {name: position for position, name in enumerate(names)}
    lines = [
        "HOA: v1",
        f"States: {num_states}",
        "Start: 0",
        "acc-name: all",
        "Acceptance: 0 t",
        f"AP: {len(names)} " + " ".join(f'"{name}"' for name in names),
        "--BODY--",
    ]
    for state in range(num_states):
        lines.append(f'State: {state} "{NAME}"')
        seen = random.sample(vocabulary.proposition_ids, num_conditions)
        for case in range(2**num_conditions):
            action, target = reaction(state)
            true = {action} | {name for bit, name in enumerate(seen) if case >> bit & 1}
            guard = "&".join(
                ("" if name in true else "!") + str(number[name]) for name in (*seen, *vocabulary.action_ids)
            )
            lines.append(f"[{guard}] {target}")
    return "\n".join([*lines, "--END--"]) + "\n"
