"""Rules that ask a thing to recur in one case and not in another, against a search through all sets of choices."""

from itertools import product
from random import Random

from verilora.specs.logic import Formula, buddy, new_automaton
from verilora.verify.checking.compiled import Compiler
from verilora.verify.realizability.components import components
from verilora.verify.realizability.decision_process import DecisionProcess, Graph, decision_process
from verilora.verify.realizability.end_components import closed, maximal_end_components, winning_component

COMPILER = Compiler(30.0)
ACTIONS = ("a", "b", "c")
RECURRING = (
    "(GF {0} & FG !{1}) | (FG !{0} & GF {1})",
    "GF {0} <-> GF {1}",
    "(GF {0} & FG !{1}) | (GF {1} & FG !{2})",
    "FG !{0} | (GF {1} & FG !{2})",
)
ORDERED = ("!{1} & G ({0} <-> X {1})", "G ({0} -> X {1})", "G (p -> {0})", "G ({0} -> X !{0})")
MOST_CHOICES = 12


def process_of(*texts: str) -> DecisionProcess:
    world = new_automaton(["p"])
    state = world.new_state()
    world.new_edge(state, state, buddy.bddtrue)
    return decision_process(world, [COMPILER.compile(Formula(text)) for text in texts], ACTIONS)


def wins(process: DecisionProcess) -> bool:
    parts = maximal_end_components(process.graph, process)
    return any(winning_component(part, process) for part in parts)


def is_accepted(graph: Graph, process: DecisionProcess) -> bool:
    """Return whether a graph is one end component in which all marks together are accepted."""
    following = {state: [choice.target for choice in choices] for state, choices in graph.items()}
    if not graph or any(target not in graph for targets in following.values() for target in targets):
        return False
    if closed(graph, process) != graph or len(components(following)) != 1:
        return False
    marks = 0
    for choices in graph.values():
        for choice in choices:
            marks |= choice.marks
    return process.acceptance.accepts(marks)


def wins_by_trying_all(process: DecisionProcess) -> bool:
    all_choices = [(state, choice) for state, choices in process.graph.items() for choice in choices]
    for taken in product((False, True), repeat=len(all_choices)):
        graph: Graph = {}
        for (state, choice), is_taken in zip(all_choices, taken, strict=True):
            if is_taken:
                graph[state] = (*graph.get(state, ()), choice)
        if is_accepted(graph, process):
            return True
    return False


def test_they_can_be_kept_as_trying_all_says() -> None:
    random = Random(0)
    answers = []
    for recurring, ordered in product(RECURRING, ORDERED):
        names = random.sample(ACTIONS, len(ACTIONS))
        process = process_of(recurring.format(*names), ordered.format(*names))
        if sum(map(len, process.choices)) <= MOST_CHOICES:
            answers.append(wins(process))
            assert answers[-1] == wins_by_trying_all(process), (recurring, ordered)
    assert len(answers) > 10
    assert {*answers} == {False, True}
