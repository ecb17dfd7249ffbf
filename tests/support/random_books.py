"""Random worlds, formulas and controllers over a small vocabulary, each from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from verilora.specs.logic import Formula, buddy, letter_diagram
from verilora.specs.vocabulary import Vocabulary
from verilora.specs.world_description import WorldDescription
from verilora.synth.controllers.controller import Controller, Edge
from verilora.verify.checking.compiled import Compiler
from verilora.verify.worlds.world import World, WorldError, abstract_world

from oracle import all_letters

_CONSTRAINTS = ("G !({p} & {q})", "G ({p} -> X {q})", "G ({p} -> ({q} W {r}))", "G ({p} -> X !{p})", "{p} | {q}")
_RULES = (
    "G ({l} -> {a})",
    "G ({l} -> {b})",
    "G ({l} -> X {a})",
    "G ({a} -> X {l})",
    "G ({l} -> F {a})",
    "G ({l} -> F ({a} & {m}))",
    "G F ({l} & {a})",
    "F G {a}",
    "F G ({l} -> {a})",
    "G F {a} -> G F {b}",
    "G F ({l} & {a}) -> F G {m}",
    "F G {a} | G F ({l} & {b})",
    "{a} U {b}",
    "G ({l} -> ({a} W {b}))",
    "F ({a} & X {l})",
    "G ({l} -> X X {a})",
    "F {l} -> F {a}",
)


@dataclass(frozen=True, slots=True)
class RandomBook:
    """A world and formulas to keep there."""

    world: World
    formulas: tuple[Formula, ...]


def random_book(seed: int, vocabulary: Vocabulary, compiler: Compiler) -> RandomBook:
    """Return a world with some things missing and some constraints, and two to six formulas."""
    random = Random(seed)
    while True:
        free = tuple(name for name in vocabulary.proposition_ids if random.random() < 0.85)
        constraints = [random_formula(random, _CONSTRAINTS, vocabulary) for _ in range(random.choice((0, 0, 1, 2)))]
        description = WorldDescription(free=free, constraints=tuple(constraints))
        try:
            world = abstract_world("random", description, vocabulary, compiler)
        except WorldError:
            continue
        formulas = (random_formula(random, _RULES, vocabulary) for _ in range(random.randint(2, 6)))
        return RandomBook(world, tuple(dict.fromkeys(formulas)))


def random_formula(random: Random, shapes: Sequence[str], vocabulary: Vocabulary) -> Formula:
    """Return one of the shapes with propositions and actions put in."""
    names, actions = vocabulary.proposition_ids, vocabulary.action_ids
    literals = [*names, *(f"!{name}" for name in names)]
    acts = [*actions, *(f"!{action}" for action in actions)]
    words = {key: random.choice(names) for key in "pqr"} | {key: random.choice(literals) for key in "lm"}
    return Formula(random.choice(shapes).format(**words, **{key: random.choice(acts) for key in "ab"}))


def random_controller(random: Random, vocabulary: Vocabulary, max_states: int = 3) -> Controller:
    """Return a machine that reacts at random to each letter."""
    names = vocabulary.proposition_ids
    num_states = random.randint(1, max_states)
    states = []
    for _ in range(num_states):
        guards = dict[tuple[str, int], object]()
        for letter in all_letters(names):
            reaction = random.choice(vocabulary.action_ids), random.randrange(num_states)
            guards[reaction] = guards.get(reaction, buddy.bddfalse) | letter_diagram(letter, {*names} - letter)
        states.append(tuple(Edge(guard, *reaction) for reaction, guard in guards.items()))
    return Controller(vocabulary, tuple(states), tuple(f"state {state}" for state in range(num_states)), num_states)
