"""Slow, plain evaluations that share nothing with the code under test but Spot's formula trees and letters."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from verilora.specs.logic import Formula, letter_diagram, spot

Letter = frozenset[str]


def holds(formula: Formula, prefix: Sequence[Letter], cycle: Sequence[Letter]) -> bool:
    """Return whether `prefix cycle cycle ...` satisfies the formula, by fixpoints over the positions of the lasso."""
    word = [*prefix, *cycle]
    following = [*range(1, len(word)), len(prefix)]
    return _values(formula.ltl, word, following)[0]


def _values(ltl: Any, word: Sequence[Letter], following: Sequence[int]) -> list[bool]:
    kind = ltl.kind()
    if kind == spot.op_ap:
        return [ltl.ap_name() in letter for letter in word]
    if kind in (spot.op_tt, spot.op_ff):
        return [kind == spot.op_tt] * len(word)
    parts = [_values(part, word, following) for part in ltl]
    now = {
        spot.op_Not: lambda a: not a,
        spot.op_And: lambda *all_: all(all_),
        spot.op_Or: lambda *all_: any(all_),
        spot.op_Implies: lambda a, b: not a or b,
        spot.op_Equiv: lambda a, b: a == b,
        spot.op_Xor: lambda a, b: a != b,
    }
    if kind in now:
        return [now[kind](*values) for values in zip(*parts, strict=True)]
    if kind == spot.op_X:
        return [parts[0][position] for position in following]
    step, start = {
        spot.op_F: (lambda a, later: a or later, False),
        spot.op_G: (lambda a, later: a and later, True),
        spot.op_U: (lambda a, b, later: b or (a and later), False),
        spot.op_W: (lambda a, b, later: b or (a and later), True),
        spot.op_R: (lambda a, b, later: b and (a or later), True),
        spot.op_M: (lambda a, b, later: b and (a or later), False),
    }[kind]
    values = [start] * len(word)
    for _ in range(len(word) + 1):
        rows = zip(*parts, [values[position] for position in following], strict=True)
        values = [step(*row) for row in rows]
    return values


def progress(ltl: Any, letter: Letter) -> Any:
    """Return what must hold from the next letter on for the formula to hold now (formula progression)."""
    kind = ltl.kind()
    if kind == spot.op_ap:
        return spot.formula.tt() if ltl.ap_name() in letter else spot.formula.ff()
    if kind in (spot.op_tt, spot.op_ff):
        return ltl
    if kind == spot.op_X:
        return ltl[0]
    formula = spot.formula
    if kind in (spot.op_F, spot.op_G):
        now = progress(ltl[0], letter)
        return formula.Or([now, ltl]) if kind == spot.op_F else formula.And([now, ltl])
    if kind in (spot.op_U, spot.op_W):
        left, right = (progress(part, letter) for part in ltl)
        return formula.Or([right, formula.And([left, ltl])])
    if kind in (spot.op_R, spot.op_M):
        left, right = (progress(part, letter) for part in ltl)
        return formula.And([right, formula.Or([left, ltl])])
    return ltl.map(lambda part: progress(part, letter))


def is_bad_prefix(formula: Formula, path: Sequence[Letter]) -> bool:
    """Return whether no continuation of a path satisfies the formula."""
    left = formula.ltl
    for letter in path:
        left = progress(left, letter)
    return bool(spot.translate(left).is_empty())


def events_begin(
    waits: Any, recordings: str, task: Any, controller: Any
) -> dict[tuple[int, int, str | None, int], bool]:
    """Return for each window of recorded waits, named by line, seed, way and second, whether a task's event begins.

    Second by second from the first state; at a later line from where the event began before, windows in turn.
    """
    found: dict[tuple[int, int, str | None, int], bool] = {}
    begun: list[tuple[str | None, int]] = [(None, 0)]
    for line in sorted({wait.line for wait in waits.waits}):
        turns: dict[str | None, int] = {}
        next_begun: list[tuple[str | None, int]] = []
        for wait in waits.waits:
            if wait.line != line or wait.recordings != recordings:
                continue
            if wait.after is not None and wait.after not in task.event.propositions:
                continue
            labels = [{name for bit, name in enumerate(waits.propositions) if n >> bit & 1} for n in wait.letters]
            for start in range(wait.roll, len(labels) - task.limit + 1, task.limit):
                window = labels[start : start + task.limit]
                states = [state for action, state in begun if action == wait.after]
                turn = turns[wait.after] = turns.get(wait.after, -1) + 1
                end = (
                    _begins(controller, states[turn % len(states)], labels[: wait.roll], window, task)
                    if states
                    else None
                )
                found[line, wait.seed, wait.after, start - wait.roll] = end is not None
                next_begun += [end] if end else []
        begun = next_begun
    return found


def _begins(controller: Any, state: int, way: Any, window: Any, task: Any) -> tuple[str, int] | None:
    for is_waiting, seconds in ((False, way), (True, window)):
        for labels in seconds:
            if state == controller.end:
                return None
            edge = controller.react(state, labels)
            state = edge.target
            if is_waiting and _is_true(task.event, {*labels, edge.action}):
                return edge.action, state
    return None


def _is_true(formula: Formula, letter: set[str]) -> bool:
    return _values(formula.ltl, [frozenset(letter)], [0])[0]


def all_letters(names: Sequence[str]) -> list[Letter]:
    """Return every letter over the names."""
    return [
        frozenset(name for name, value in zip(names, values, strict=True) if value)
        for values in product((False, True), repeat=len(names))
    ]


def holds_almost_surely(formula: Formula, world: Any, controller: Any) -> bool:
    """Return whether a chain world in step with a controller satisfies the formula with probability 1.

    States (world, controller, parity automaton) are enumerated letter by letter; bottom components are found by
    comparing what states can reach, and judged by the parity condition on all the marks inside them.
    """
    automaton = spot.translate(formula.ltl, "parity max even", "deterministic", "complete", "colored", "SBAcc")
    names = controller.vocabulary.proposition_ids
    start = (world.graph.get_init_state_number(), 0, automaton.get_init_state_number())
    successors: dict[tuple[int, int, int], set[tuple[int, int, int]]] = {}
    frontier = [start]
    while frontier:
        state = frontier.pop()
        if state in successors:
            continue
        successors[state] = set()
        for letter in all_letters(names):
            edge = controller.react(state[1], letter)
            full = letter_diagram(
                letter | {edge.action}, {*names, *controller.vocabulary.action_ids} - letter - {edge.action}
            )
            for target in _targets(world.graph, state[0], full):
                for automaton_target in _targets(automaton, state[2], full):
                    successors[state].add((target, edge.target, automaton_target))
        frontier.extend(successors[state])
    reach = {state: _reachable(state, successors) for state in successors}
    bottoms = [state for state in successors if all(state in reach[other] for other in reach[state])]
    return all(_highest_mark(automaton, reach[state]) % 2 == 0 for state in bottoms)


def _targets(graph: Any, state: int, letter: Any) -> list[int]:
    return [edge.dst for edge in graph.out(state) if spot.buddy.bdd_implies(letter, edge.cond)]


def _reachable(state: Any, successors: dict[Any, set[Any]]) -> set[Any]:
    reached: set[Any] = set()
    frontier = set(successors[state])
    while frontier:
        reached |= frontier
        frontier = {target for node in frontier for target in successors[node]} - reached
    return reached


def _highest_mark(automaton: Any, states: set[tuple[int, int, int]]) -> int:
    """Return the highest mark of some states, which need not have any; without one the number is odd: rejected."""
    return max((mark for _, _, state in states for mark in automaton.state_acc_sets(state).sets()), default=-1)


def keeps_in_one_shot(formula: Formula, world: Any, controller: Any) -> bool:
    """Return whether no run of a chain with a controller that may end breaks a rule: by a bad prefix, or for ever."""
    automaton = spot.translate(formula.ltl, "parity max even", "deterministic", "complete", "colored", "SBAcc")
    start = (world.graph.get_init_state_number(), 0, automaton.get_init_state_number())
    successors = _until_the_end(start, world, controller, lambda state, full: _targets(automaton, state, full))
    hopeful = {state for state in range(automaton.num_states()) if _is_hopeful(automaton, state)}
    return all(state[2] in hopeful for state in successors) and _endless_runs_accept(automaton, successors)


def reaches_in_one_shot(goal: Formula, world: Any, controller: Any) -> bool:
    """Return whether almost every run reaches a goal: those that end as finite traces, the others for ever."""
    automaton = spot.translate(goal.ltl, "parity max even", "deterministic", "complete", "colored", "SBAcc")
    start = (world.graph.get_init_state_number(), 0, automaton.get_init_state_number())
    endless = _until_the_end(start, world, controller, lambda state, full: _targets(automaton, state, full))
    names = (*controller.vocabulary.proposition_ids, *controller.vocabulary.action_ids)
    residual = _disjuncts(_strong_next(spot.negative_normal_form(_strong_next(goal.ltl))))

    def left(state: Any, full: Any) -> list[Any]:
        letter = frozenset(name for name in names if spot.buddy.bdd_implies(full, letter_diagram([name], [])))
        return [_disjuncts(progress(_formula_of(state), letter | {_MORE}))]

    finite = _until_the_end((start[0], 0, residual), world, controller, left)
    ended = [state for state, following in finite.items() if not following]
    return all(_holds_at_the_end(_formula_of(state[2])) for state in ended) and _endless_runs_accept(automaton, endless)


_MORE = "more_to_come"


def _strong_next(ltl: Any) -> Any:
    """Return a formula whose every next says that there is one: at the last letter `X f` is false, and `!X f` true."""
    if ltl.kind() in (spot.op_ap, spot.op_tt, spot.op_ff):
        return ltl
    parts = ltl.map(_strong_next)
    if ltl.kind() != spot.op_X or _MORE in str(parts):
        return parts
    return spot.formula.X(spot.formula.And([spot.formula.ap(_MORE), parts[0]]))


def _holds_at_the_end(ltl: Any) -> bool:
    """Return whether what is left of a formula holds when nothing more comes."""
    kind = ltl.kind()
    if kind in (spot.op_And, spot.op_Or):
        return (all if kind == spot.op_And else any)(_holds_at_the_end(part) for part in ltl)
    if kind == spot.op_Not:
        return ltl[0].ap_name() == _MORE
    return kind in (spot.op_tt, spot.op_G, spot.op_W, spot.op_R)


def _disjuncts(ltl: Any) -> frozenset[frozenset[Any]]:
    """Return a formula as alternatives, each a set of what must hold; none that says more than another."""
    kind = ltl.kind()
    if kind == spot.op_Or:
        found = {option for part in ltl for option in _disjuncts(part)}
    elif kind == spot.op_And:
        found = {frozenset().union(*choice) for choice in product(*map(_disjuncts, ltl))}
    else:
        found = set() if kind == spot.op_ff else {frozenset() if kind == spot.op_tt else frozenset([ltl])}
    return frozenset(option for option in found if not any(other < option for other in found))


def _formula_of(options: frozenset[frozenset[Any]]) -> Any:
    return spot.formula.Or([spot.formula.And(list(option)) for option in options])


def _until_the_end(start: Any, world: Any, controller: Any, follow: Any) -> dict[Any, set[Any]]:
    """Return what can follow each reachable state (world, controller, judged); nothing follows the controller's end."""
    names = controller.vocabulary.proposition_ids
    successors: dict[Any, set[Any]] = {}
    frontier = [start]
    while frontier:
        state = frontier.pop()
        if state in successors:
            continue
        successors[state] = set()
        for letter in all_letters(names) if state[1] != controller.end else ():
            edge = controller.react(state[1], letter)
            false = {*names, *controller.vocabulary.action_ids} - letter - {edge.action}
            full = letter_diagram(letter | {edge.action}, false)
            targets = _targets(world.graph, state[0], full)
            successors[state] |= {(to, edge.target, judged) for to in targets for judged in follow(state[2], full)}
        frontier.extend(successors[state])
    return successors


def _endless_runs_accept(automaton: Any, successors: dict[Any, set[Any]]) -> bool:
    reach = {state: _reachable(state, successors) for state in successors}
    bottoms = [state for state in successors if reach[state] and all(state in reach[other] for other in reach[state])]
    return all(_highest_mark(automaton, reach[state]) % 2 == 0 for state in bottoms)


def _is_hopeful(automaton: Any, start: int) -> bool:
    """Return whether a run from a state is accepted: one that comes back to an even mark without meeting a higher."""
    mark = {state: max(automaton.state_acc_sets(state).sets(), default=-1) for state in range(automaton.num_states())}
    edges = {state: {edge.dst for edge in automaton.out(state)} for state in mark}
    for state in {start} | _reachable(start, edges):
        lower = {one: {to for to in following if mark[to] <= mark[state]} for one, following in edges.items()}
        if mark[state] % 2 == 0 and state in _reachable(state, lower):
            return True
    return False


def can_be_kept(formulas: Sequence[Formula], world: Any, vocabulary: Any) -> bool:
    """Return whether some controller keeps all formulas with probability 1 in a chain world.

    The states are pairs of the world's and of one parity automaton for all formulas; for each letter that can be drawn
    there is the set of states that the actions lead to. A set of states can be won for ever if its highest mark is even
    and the controller can stay inside and get from everywhere to everywhere; such sets must be reached almost surely.
    """
    both = spot.formula.And([formula.ltl for formula in formulas])
    automaton = spot.translate(both, "parity max even", "deterministic", "complete", "colored", "SBAcc")
    options = _options(world.graph, automaton, vocabulary)
    mark = {state: max(automaton.state_acc_sets(state[1]).sets(), default=-1) for state in options}
    won: set[Any] = set()
    for even in {mark[state] for state in options if mark[state] % 2 == 0}:
        for part in _communicating({state for state in options if mark[state] <= even}, options):
            if any(mark[state] == even for state in part):
                won |= part
    left = _where_one_can_stay(set(options), options)
    while True:
        following = {state: {to for targets in options[state] for to in targets & left} for state in left}
        hopeful = {state for state in left if state in won or _reachable(state, following) & won}
        if hopeful == left:
            return (world.graph.get_init_state_number(), automaton.get_init_state_number()) in left
        left = _where_one_can_stay(hopeful, options)


def _options(graph: Any, automaton: Any, vocabulary: Any) -> dict[Any, list[set[Any]]]:
    """Return for each state, for each letter that can be drawn there, where the actions lead."""
    names, actions = vocabulary.proposition_ids, vocabulary.action_ids
    frontier = [(graph.get_init_state_number(), automaton.get_init_state_number())]
    options: dict[Any, list[set[Any]]] = {}
    while frontier:
        state = frontier.pop()
        if state in options:
            continue
        options[state] = []
        for letter in all_letters(names):
            reached = set()
            for action in actions:
                full = letter_diagram(letter | {action}, {*names, *actions} - letter - {action})
                reached |= set(product(_targets(graph, state[0], full), _targets(automaton, state[1], full)))
            if reached:
                options[state].append(reached)
                frontier.extend(reached)
    return options


def _where_one_can_stay(states: set[Any], options: dict[Any, list[set[Any]]]) -> set[Any]:
    """Return the states of a set in which a controller can remain for ever whatever is drawn."""
    while left := {state for state in states if not all(targets & states for targets in options[state])}:
        states = states - left
    return states


def _communicating(states: set[Any], options: dict[Any, list[set[Any]]]) -> list[set[Any]]:
    """Return the largest sets of states in which a controller can remain and get from each to each."""
    found, parts = [], [states]
    while parts:
        part = _where_one_can_stay(parts.pop(), options)
        following = {state: {to for targets in options[state] for to in targets & part} for state in part}
        reach = {state: _reachable(state, following) for state in part}
        if part and all(reach[state] == part for state in part):
            found.append(part)
            continue
        while part:
            state = next(iter(part))
            together = {state} | {other for other in reach[state] if state in reach[other]}
            parts.append(together)
            part = part - together
    return found
