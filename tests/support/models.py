"""A vocabulary small enough to enumerate, strategies for formulas and worlds over it, and what is asked of them."""

from hypothesis import strategies as st

from verilora.specs.logic import Formula, letter_diagram, new_automaton, spot
from verilora.specs.vocabulary import Vocabulary, Word
from verilora.specs.world_description import WorldDescription
from verilora.synth.controllers.controller import Controller
from verilora.verify.checking.compiled import CompiledFormula, Compiler, _from_hoa, _translate
from verilora.verify.worlds.world import World, WorldError, WorldKind, abstract_world

PROPOSITIONS = ("p", "q")
ACTIONS = ("rest", "go", "back")
TINY = Vocabulary(
    propositions=tuple(Word(id=name, english=f"thing {name}") for name in PROPOSITIONS),
    actions=tuple(Word(id=name, english=name) for name in ACTIONS),
    idle="rest",
)
CONSTRAINTS = ("G !(p & q)", "G (p -> X !p)", "p", "G (q -> X q)", "G (p | q)", "!p & G (X p -> q)")


def formulas(names: tuple[str, ...] = (*PROPOSITIONS, *ACTIONS)) -> st.SearchStrategy[Formula]:
    """Formulas of up to about five operators, safety and liveness alike."""
    texts = st.recursive(
        st.sampled_from(names),
        lambda inner: st.one_of(
            st.builds("({}({}))".format, st.sampled_from(["!", "X", "F", "G", "GF", "FG"]), inner),
            st.builds("(({}) {} ({}))".format, inner, st.sampled_from(["&", "|", "->", "U", "W", "R"]), inner),
        ),
        max_leaves=4,
    )
    return st.builds(Formula, texts)


@st.composite
def abstract_worlds(draw: st.DrawFn) -> World:
    """Worlds as a description gives them: each proposition free, constant or absent, up to two constraints."""
    place = {name: draw(st.sampled_from(["free", "free", "constant", "absent"])) for name in PROPOSITIONS}
    constraints = draw(st.lists(st.sampled_from(CONSTRAINTS), max_size=2, unique=True))
    description = WorldDescription(
        free=tuple(name for name in PROPOSITIONS if place[name] == "free"),
        constant=tuple(name for name in PROPOSITIONS if place[name] == "constant"),
        constraints=tuple(map(Formula, constraints)),
    )
    try:
        return abstract_world("some", description, TINY, Compiler())
    except WorldError:
        # A world without runs has nothing to judge.
        return abstract_world("some", WorldDescription(free=PROPOSITIONS), TINY, Compiler())


@st.composite
def explicit_worlds(draw: st.DrawFn, max_states: int = 4) -> World:
    """Worlds as learning gives them: a graph with one letter an edge and no dead end."""
    num_states = draw(st.integers(1, max_states))
    graph = new_automaton(PROPOSITIONS)
    graph.new_states(num_states)
    graph.set_init_state(0)
    for state in range(num_states):
        edge = st.tuples(st.integers(0, num_states - 1), st.sets(st.sampled_from(PROPOSITIONS)))
        for target, true in draw(st.lists(edge, min_size=1, max_size=3)):
            graph.new_edge(state, target, letter_diagram(true, set(PROPOSITIONS) - true))
    return World(name="some", kind=WorldKind.ABSTRACT, graph=graph, free=PROPOSITIONS, fairness=Formula("true"))


def compiled(formula: Formula) -> CompiledFormula:
    """Translate here rather than in a child process: thousands of small formulas."""
    return _from_hoa(formula, *_translate(formula))


def behaviour(world: World, controller: Controller) -> object:
    return spot.product(world.graph, controller.automaton())


def world_targets(world: World, state: int, letter: frozenset[str]) -> list[int]:
    diagram = letter_diagram(letter, set(PROPOSITIONS) - letter)
    return [edge.dst for edge in world.graph.out(state) if spot.buddy.bdd_implies(diagram, edge.cond)]
