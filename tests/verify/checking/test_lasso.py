import pytest

from verilora.specs.logic import Automaton, letter_diagram, new_automaton
from verilora.specs.processes.deadline import Deadline
from verilora.specs.processes.forked import Unanswered
from verilora.verify.checking.lasso import Explorer


def graph() -> Automaton:
    """Two ways from 0 to 3, the shorter one over 2; 3 and 4 lead to each other, and 4 to itself."""
    made = new_automaton(("p",))
    made.new_states(5)
    made.set_init_state(0)
    for source, target in ((0, 1), (1, 2), (0, 2), (2, 3), (3, 4), (4, 3), (4, 4)):
        made.new_edge(source, target, letter_diagram({"p"}, ()) if source == 2 else letter_diagram((), {"p"}))
    return made


def test_a_path_is_the_shortest_to_any_target() -> None:
    where = Explorer(graph(), Deadline())
    assert [len(where.path(targets).prefix) for targets in ({0}, {1, 3}, {3}, {4})] == [0, 1, 2, 3]
    assert where.path({3}).prefix[1] == letter_diagram({"p"}, ())


def test_a_lasso_is_the_shortest_path_to_the_shortest_cycle() -> None:
    found = Explorer(graph(), Deadline()).lasso({3, 4}, ())
    assert found is not None
    assert (len(found.prefix), len(found.cycle)) == (3, 1)


def test_a_search_ends_at_the_deadline() -> None:
    with pytest.raises(Unanswered, match="deadline"):
        Explorer(graph(), Deadline(-1)).path({4})
