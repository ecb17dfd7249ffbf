"""Products of behaviours and automata, which end at a size and at a deadline."""

from ...specs.logic import Automaton, spot
from ...specs.processes.deadline import Deadline
from ...specs.processes.forked import Unanswered

# Spot cannot be interrupted from Python. It makes about a million edges a second, and each takes some 30 bytes.
MAX_EDGES = 4_000_000


def product(left: Automaton, right: Automaton, deadline: Deadline, max_edges: int = MAX_EDGES) -> Automaton:
    """Return the product of two automata; raises Unanswered at the deadline, and if it has too many states or edges."""
    deadline.check()
    if _is_small(left, right, max_edges):
        return spot.product(left, right)
    both = spot.product(left, right, spot.output_aborter(max_edges, max_edges))
    if both is None:
        raise Unanswered(f"takes a product of more than {max_edges:,} edges")
    deadline.check()
    return both


def intersects(left: Automaton, right: Automaton, deadline: Deadline, max_edges: int = MAX_EDGES) -> bool:
    """Return whether two automata accept a run in common; raises Unanswered as `product` does."""
    deadline.check()
    # Steps that cannot become too many are taken one by one, until a run is found.
    if _is_small(left, right, max_edges):
        return bool(left.intersects(right))
    return not product(left, right, deadline, max_edges).is_empty()


def _is_small(left: Automaton, right: Automaton, max_edges: int) -> bool:
    """Return whether a product cannot have more than so many edges."""
    return bool(left.num_edges() * right.num_edges() <= max_edges)
