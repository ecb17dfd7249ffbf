"""Controllers as HOA text (https://adl.github.io/hoaf), with the actions marked as controllable (`controllable-AP`).

Text of tools for synthesis (Strix, ltlsynt) may open with what they found, REALIZABLE, and hold comments.
"""

import re

from ...specs.files.errors import expected_one_of
from ...specs.logic import Automaton, buddy, cube, exactly_one, spot
from ...specs.vocabulary import Vocabulary
from .controller import Controller, Edge
from .steps import InvalidController

# Random machines of so many states are judged in 1 to 6 s, witnesses included, in the worlds that ship.
MAX_STATES = 500
_STRING = r'"(?:\\?[^"\\\0\ud800-\udfff]|\\["\\])*"?'
_QUOTED = re.compile(_STRING)
_QUOTED_OR_COMMENT = re.compile(rf"{_STRING}|/\*")
_COMMENT_MARK = re.compile(r"/\*|\*/")
# What tools for synthesis write on a line before a machine, or instead of one.
_FINDING = re.compile(r"\s*(REALIZABLE|UNREALIZABLE|UNKNOWN)(?=[^\S\r\n]*(?:[\r\n]|\Z))")
_CONTROLLABLE = re.compile(r"\bcontrollable-AP:([\s\d]*)")
# Headers that say nothing of the machine, each on a line of its own: their numbers count nothing.
_OTHER_HEADER = re.compile(
    r"^(?!(?:acc-name|controllable-AP|properties):)[a-z][\w.-]*:[^:\"\n\0\x80-\U0010ffff]*$", re.MULTILINE
)


def to_hoa(controller: Controller) -> str:
    """Return a controller as HOA text."""
    automaton = controller.automaton()
    spot.set_synthesis_outputs(automaton, cube(controller.vocabulary.action_ids))
    # Spot writes names as they are.
    automaton.set_state_names([re.sub(r'(["\\])', r"\\\1", name) for name in controller.names])
    return str(automaton.to_str("hoa")) + "\n"


def is_hoa(text: str) -> bool:
    """Return whether a response is a machine in HOA, or the word that there is none, rather than steps."""
    finding, machine = _opening(text)
    return machine.lstrip().startswith("HOA:") or finding not in ("", "REALIZABLE")


def from_hoa(text: str, vocabulary: Vocabulary) -> Controller:
    """Return the controller in HOA text; raises InvalidController unless it is deterministic and input-complete."""
    finding, machine = _opening(text)
    if finding not in ("", "REALIZABLE"):
        raise InvalidController(f"{finding}: a tool found no machine, expected one in HOA")
    header, mark, body = machine.partition("--BODY--")
    machine = _OTHER_HEADER.sub(lambda line: _blank(line[0]), header) + mark + body
    # Outside quotes Spot takes a null or non-ASCII character for the end of the text, and it allocates as many states
    # as the largest number announces.
    if unreadable := re.search(r"[^\x01-\x7f]|\d{6,}", _QUOTED.sub("", machine)):
        raise InvalidController(f"not an HOA machine: unexpected {unreadable[0][:60]!r}")
    try:
        # The line break keeps Spot from taking the text for the name of a file or a command.
        automata = list(spot.automata(machine + "\n"))
    except (SyntaxError, RuntimeError) as error:
        reason = str(error).strip().splitlines()
        raise InvalidController(f"not an HOA machine: {reason[0] if reason else 'empty'}") from None
    if len(automata) != 1:
        aborted = " (it ends in --ABORT--)" if not automata and "--ABORT--" in body else ""
        raise InvalidController(f"not an HOA machine: got {len(automata)} automata{aborted}, expected one")
    if automata[0].num_states() > MAX_STATES:
        raise InvalidController(f"got {automata[0].num_states()} states, expected at most {MAX_STATES}")
    bare = _QUOTED.sub("", header)
    _check_starts(bare)
    _check_outputs(bare, [ap.ap_name() for ap in automata[0].ap()], vocabulary)
    return from_automaton(automata[0], vocabulary)


def _check_starts(header: str) -> None:
    """Raise InvalidController unless the header names one initial state: Spot adds one of its own otherwise."""
    num_starts = len(re.findall(r"(?<![\w-])Start\s*:", header))
    if num_starts == 0:
        raise InvalidController("incomplete: no initial state, expected a line such as 'Start: 0' above --BODY--")
    if num_starts > 1:
        raise InvalidController(f"ambiguous: got {num_starts} initial states, expected one line with 'Start:'")


def _check_outputs(header: str, names: list[str], vocabulary: Vocabulary) -> None:
    """Raise InvalidController if the header names outputs, but not the actions, each once."""
    lists = _CONTROLLABLE.findall(header)
    outputs = [names[int(number)] for numbers in lists for number in numbers.split()]
    if len(lists) > 1 or (lists and sorted(outputs) != sorted(vocabulary.action_ids)):
        expected = f"each of the actions {', '.join(vocabulary.action_ids)} once"
        raise InvalidController(f"controllable-AP: got {', '.join(outputs) or 'none'}, expected {expected}")


def _opening(text: str) -> tuple[str, str]:
    """Return what a tool says that it found, or "", and the text without that and comments, lines and columns kept."""
    bare = _without_comments(text.removeprefix("\ufeff"))
    found = _FINDING.match(bare)
    return (found[1], _blank(bare[: found.end()]) + bare[found.end() :]) if found else ("", bare)


def _without_comments(text: str) -> str:
    """Return the text with blanks for comments, which nest; of one that is not closed the beginning stays."""
    parts, done = [], 0
    while True:
        start = next((mark.start() for mark in _QUOTED_OR_COMMENT.finditer(text, done) if mark[0] == "/*"), len(text))
        parts.append(text[done:start])
        if start == len(text):
            return "".join(parts)
        depth, done = 0, len(text)
        for mark in _COMMENT_MARK.finditer(text, start):
            depth += 1 if mark[0] == "/*" else -1
            if not depth:
                done = mark.end()
                break
        comment = _blank(text[start:done])
        parts.append(f"/*{comment[2:]}" if depth else comment)


def _blank(text: str) -> str:
    return re.sub(r"[^\r\n]", " ", text)


def from_automaton(automaton: Automaton, vocabulary: Vocabulary) -> Controller:
    """Return the controller that a Spot automaton describes; raises InvalidController."""
    if not automaton.is_existential() or not automaton.acc().is_t():
        raise InvalidController("expected a machine that accepts all its runs ('Acceptance: 0 t') without alternation")
    declared = {ap.ap_name() for ap in automaton.ap()}
    for name in sorted(declared - {*vocabulary.proposition_ids, *vocabulary.action_ids}):
        known = (*vocabulary.proposition_ids, *vocabulary.action_ids)
        raise InvalidController(f"unknown proposition: {expected_one_of(name, known)}")
    for name in vocabulary.action_ids:
        if name not in declared:
            raise InvalidController(f"the action {name!r} is not declared: expected all of {vocabulary.action_ids}")
    # The guards outlive the automaton, so their variables must.
    cube(declared)
    given = automaton.get_state_names() or [""] * automaton.num_states()
    # The initial state comes first, the others keep their order.
    first = automaton.get_init_state_number()
    order = sorted(range(automaton.num_states()), key=lambda state: (state != first, state))
    number = {state: position for position, state in enumerate(order)}
    states = tuple(_edges(automaton, state, number, vocabulary) for state in order)
    return Controller(vocabulary, states, tuple(given[state] or f"state {state}" for state in order), len(states))


def _edges(automaton: Automaton, state: int, number: dict[int, int], vocabulary: Vocabulary) -> tuple[Edge, ...]:
    actions = cube(vocabulary.action_ids)
    outputs = {action: exactly_one(vocabulary.action_ids, action) for action in vocabulary.action_ids}
    edges = []
    for transition in automaton.out(state):
        rest = transition.cond
        for action, output in outputs.items():
            guard = buddy.bdd_exist(transition.cond & output, actions)
            if guard != buddy.bddfalse:
                edges.append(Edge(guard, action, number[transition.dst]))
                rest = rest & -output
        if rest != buddy.bddfalse:
            raise InvalidController(f"state {state}: an edge allows no action or several at once: expected exactly one")
    return tuple(edges)
