"""Random conditions, programs, controllers and letters over any vocabulary, and two vocabularies (hypothesis)."""

from collections.abc import Sequence

from hypothesis import strategies as st

from verilora.specs.domain import SHIPPED
from verilora.specs.logic import buddy, letter_diagram
from verilora.specs.vocabulary import Vocabulary, Word, read_vocabulary
from verilora.synth.controllers.condition import Atom, Condition, Junction
from verilora.synth.controllers.controller import Controller, Edge, Ending, Letter, Otherwise, Reading
from verilora.synth.controllers.steps import (
    MAX_STEPS,
    MIN_STEPS,
    Act,
    GoTo,
    If,
    Observe,
    Program,
    Stay,
    Step,
    WaitUntil,
)

from oracle import all_letters

DRIVING = read_vocabulary(SHIPPED / "driving" / "propositions.yaml")
# Small enough to try all letters; "lid" starts a longer phrase, and the idle action is not the first.
KETTLE = Vocabulary(
    propositions=(
        Word(id="hot", english="hot water", synonyms=("water is hot",)),
        Word(id="lid", english="lid", synonyms=("closed lid", "lid is closed")),
        Word(id="lid_ajar", english="lid ajar", synonyms=("half-open lid",)),
    ),
    actions=(
        Word(id="heat", english="heat", synonyms=("switch on",)),
        Word(id="rest", english="rest", synonyms=("do nothing",)),
        Word(id="pour", english="pour", synonyms=("pour cup's water",)),
    ),
    idle="rest",
)


def letters(vocabulary: Vocabulary) -> st.SearchStrategy[Letter]:
    """Return a strategy for the sets of propositions that are true at one instant."""
    return st.frozensets(st.sampled_from(vocabulary.proposition_ids))


def readings() -> st.SearchStrategy[Reading]:
    """Return a strategy for the four readings of steps."""
    return st.builds(Reading, ending=st.sampled_from(Ending), otherwise=st.sampled_from(Otherwise))


def conditions(vocabulary: Vocabulary) -> st.SearchStrategy[Condition]:
    """Return a strategy for conditions, nested and negated ones included, as the parser gives them."""
    return st.recursive(
        st.builds(Atom, st.sampled_from(vocabulary.proposition_ids), st.booleans()),
        lambda inner: st.builds(
            Junction,
            st.sampled_from(["and", "or"]),
            st.lists(inner, min_size=2, max_size=3).map(tuple),
            st.booleans(),
        ),
        max_leaves=6,
    )


def steps(vocabulary: Vocabulary, num_steps: int) -> st.SearchStrategy[Step]:
    """Return a strategy for one step of a program of that many steps."""
    action_ids = st.sampled_from(vocabulary.action_ids)
    acts = st.builds(Act, action_ids)
    jumps = st.builds(GoTo, st.integers(1, num_steps))
    branches = acts | jumps
    return st.one_of(
        acts,
        jumps,
        st.builds(Observe, st.lists(st.sampled_from(vocabulary.proposition_ids), min_size=1, max_size=3).map(tuple)),
        st.builds(WaitUntil, conditions(vocabulary), st.none() | action_ids),
        st.builds(If, conditions(vocabulary), branches, st.none() | branches | st.just(Stay())),
    )


def programs(vocabulary: Vocabulary, max_steps: int = MAX_STEPS) -> st.SearchStrategy[Program]:
    """Return a strategy for programs of every construct; some have a cycle that takes no time."""
    return st.integers(MIN_STEPS, max_steps).flatmap(
        lambda num_steps: st.tuples(*[steps(vocabulary, num_steps)] * num_steps)
    )


@st.composite
def controllers(
    draw: st.DrawFn, vocabulary: Vocabulary, max_states: int = 4, propositions: Sequence[str] | None = None
) -> Controller:
    """Return a strategy for deterministic, input-complete machines that look at few propositions (None: up to three).

    The letters over these propositions are dealt out to the edges of a state; two edges can do the same.
    """
    if propositions is None:
        propositions = draw(st.lists(st.sampled_from(vocabulary.proposition_ids), max_size=3, unique=True))
    num_states = draw(st.integers(1, max_states))
    all_of_them = all_letters(propositions)
    states = []
    for _ in range(num_states):
        reaction = st.tuples(st.sampled_from(vocabulary.action_ids), st.integers(0, num_states - 1))
        reactions = draw(st.lists(reaction, min_size=1, max_size=4))
        dealt = draw(st.tuples(*[st.integers(0, len(reactions) - 1)] * len(all_of_them)))
        guards = [buddy.bddfalse] * len(reactions)
        for letter, edge in zip(all_of_them, dealt, strict=True):
            guards[edge] = guards[edge] | letter_diagram(letter, set(propositions) - letter)
        edges = zip(guards, reactions, strict=True)
        states.append(tuple(Edge(guard, *reaction) for guard, reaction in edges if guard != buddy.bddfalse))
    names = tuple(f"state {state}" for state in range(num_states))
    return Controller(vocabulary, tuple(states), names, num_states)
