"""Rules that cannot be kept together: the smallest such set, and the fewest to do without."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from math import comb

from ...specs.logic import Formula

CanKeep = Callable[[Sequence[Formula]], bool]
# Sets of one size that are tried where a set that cannot be kept is known to be larger.
MAX_SETS = 200


def fewest_dropped(can_keep: CanKeep, mandatory: Sequence[Formula], rules: Mapping[str, Formula]) -> list[str] | None:
    """Return the fewest rules to drop so that the rest and all that is mandatory can be kept; None if it cannot be.

    Breadth first over what to drop; whatever is dropped from a set that cannot be kept must come from each of its
    cores, so one core is enough to branch on.
    """
    queue: list[frozenset[str]] = [frozenset()]
    for dropped in queue:
        left = {name: formula for name, formula in rules.items() if name not in dropped}
        if can_keep([*mandatory, *left.values()]):
            return sorted(dropped, key=list(rules).index)
        for name in _core(can_keep, mandatory, left):
            if dropped | {name} not in queue:
                queue.append(dropped | {name})
    return None


def smallest_clash(can_keep: CanKeep, mandatory: Sequence[Formula], rules: Mapping[str, Formula]) -> list[str]:
    """Return a smallest set of rules that cannot be kept together with all that is mandatory; together they cannot be.

    None of it can be spared. That no other one is smaller is found out as far as there are few sets to try.
    """
    core = _core(can_keep, mandatory, rules)
    for size in range(1, len(core)):
        if comb(len(rules), size) > MAX_SETS:
            break
        for names in combinations(rules, size):
            if not can_keep([*mandatory, *(rules[name] for name in names)]):
                return list(names)
    return core


def _core(can_keep: CanKeep, mandatory: Sequence[Formula], rules: Mapping[str, Formula]) -> list[str]:
    """Return rules that cannot be kept together with what is mandatory, and of which none can be spared.

    The first rules are spared first. Junker, QuickXplain (AAAI 2004): rules are spared by halves.
    """

    def keeps(names: Sequence[str]) -> bool:
        return can_keep([*mandatory, *(rules[name] for name in names)])

    def least(left: list[str], given: list[str], is_new: bool) -> list[str]:
        if is_new and not keeps(given):
            return []
        if len(left) == 1:
            return left
        first, last = left[: len(left) // 2], left[len(left) // 2 :]
        from_first = least(first, [*given, *last], True)
        return [*from_first, *least(last, [*given, *from_first], bool(from_first))]

    return least(list(rules), [], True)
