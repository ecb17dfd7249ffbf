"""Cores and what to drop, against all subsets, for random families of sets that cannot be kept."""

from collections.abc import Sequence
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from verilora.specs.logic import Formula
from verilora.verify.realizability.clash import fewest_dropped, smallest_clash

RULES = {f"r{number}": Formula(f"G p{number}") for number in range(6)}
cores = st.lists(st.frozensets(st.sampled_from(list(RULES)), min_size=1, max_size=4), min_size=1, max_size=4)


def can_keep_without(clashes: Sequence[frozenset[str]], formulas: Sequence[Formula]) -> bool:
    kept = {name for name, formula in RULES.items() if formula in formulas}
    return not any(clash <= kept for clash in clashes)


@given(cores)
def test_the_smallest_clash_and_the_fewest_to_drop_are_found(clashes: list[frozenset[str]]) -> None:
    def can_keep(formulas: Sequence[Formula]) -> bool:
        return can_keep_without(clashes, formulas)

    clash = smallest_clash(can_keep, [], RULES)
    assert frozenset(clash) in clashes
    assert len(clash) == min(map(len, clashes))
    dropped = fewest_dropped(can_keep, [], RULES)
    least = next(
        size
        for size in range(len(RULES) + 1)
        if any(all({*names} & clash for clash in clashes) for names in combinations(RULES, size))
    )
    assert dropped is not None
    assert len(dropped) == least
    assert can_keep([formula for name, formula in RULES.items() if name not in dropped])


def test_what_is_mandatory_is_never_dropped() -> None:
    must = Formula("G q")
    assert fewest_dropped(lambda formulas: must not in formulas, [must], RULES) is None
    assert smallest_clash(lambda formulas: must not in formulas, [must], RULES) == []
    both = (must, RULES["r3"])
    assert fewest_dropped(lambda formulas: not all(one in formulas for one in both), [must], RULES) == ["r3"]
