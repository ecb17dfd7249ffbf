"""Numbered steps, what a language model writes: their grammar, their parser and their printer.

    steps     := ( INT ( "." | ")" ) step NEWLINE )+                                   2 to 8 of them, numbered from 1
    step      := "observe" ["state of"] list | action | go_to
               | "if" condition "," branch [ "," "otherwise" ( branch | "stay" ) ]
               | "wait until" condition [ [","] "then" action ]
    branch    := action | go_to                  go_to := "go to step" INT
    list      := proposition ( ( "," | "and" | ", and" ) proposition )*
    condition := term ( "and" term )* | term ( "or" term )*
    term      := [ "no" | "not" ] proposition | [ "not" ] "(" condition ")"

Words are aligned to the vocabulary (`alignment.py`); articles, capitals and a full stop at the end do not count.
Whatever else is written makes the response invalid. After Yang et al., MLSys 2024, section 4, and GLM2FSA.
"""

import re
from dataclasses import dataclass
from typing import Literal

from ...specs.files.errors import expected_one_of
from ...specs.phrase import tokenize
from ...specs.vocabulary import Vocabulary
from .alignment import Alignment
from .condition import Atom, Condition, Junction, condition_text

MIN_STEPS = 2
MAX_STEPS = 8
MAX_DEPTH = 16
_NUMBERED = re.compile(r"\s*([0-9]{1,4})[.)]\s*(.*)")


class InvalidController(ValueError):
    """A response that is no controller; the message names the step (or state) and the reason."""


@dataclass(frozen=True, slots=True)
class Act:
    """Give an action; the next step follows."""

    action: str


@dataclass(frozen=True, slots=True)
class GoTo:
    """Be at another step, in no time."""

    step: int


@dataclass(frozen=True, slots=True)
class Stay:
    """Remain at this step."""


@dataclass(frozen=True, slots=True)
class Observe:
    """Let time pass, idle."""

    propositions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class If:
    """`otherwise` is None where it was left out."""

    condition: Condition
    then: Act | GoTo
    otherwise: Act | GoTo | Stay | None = None


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """`action` is None where only time passes."""

    condition: Condition
    action: str | None = None


Step = Observe | Act | If | WaitUntil | GoTo
Program = tuple[Step, ...]


def parse_steps(text: str, alignment: Alignment, max_steps: int = MAX_STEPS) -> Program:
    """Return the steps of a response; raises InvalidController."""
    lines = [(at, line) for at, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not MIN_STEPS <= len(lines) <= max_steps:
        raise InvalidController(f"got {len(lines)} lines, expected {MIN_STEPS} to {max_steps} numbered steps")
    program = []
    for number, (at, line) in enumerate(lines, start=1):
        numbered = _NUMBERED.fullmatch(line)
        if not numbered or int(numbered[1]) != number:
            raise InvalidController(f"line {at}: expected a step that starts with '{number}.', got {line[:60]!r}")
        program.append(_StepParser(numbered[2], number, len(lines), alignment).parse())
    return tuple(program)


def print_steps(program: Program, vocabulary: Vocabulary) -> str:
    """Return steps in canonical words; `parse_steps` gives the same steps back."""
    return "\n".join(f"{number}. {step_text(step, vocabulary)}" for number, step in enumerate(program, start=1))


def step_text(step: Step | Stay, vocabulary: Vocabulary) -> str:
    """Return one step in canonical words, without its number."""
    match step:
        case Observe(propositions):
            return f"observe {' and '.join(vocabulary.english[name] for name in propositions)}"
        case Act(action):
            return vocabulary.english[action]
        case GoTo(target):
            return f"go to step {target}"
        case Stay():
            return "stay"
        case WaitUntil(condition, action):
            then = f" then {vocabulary.english[action]}" if action else ""
            return f"wait until {condition_text(condition, vocabulary)}{then}"
        case If(condition, then, otherwise):
            text = f"if {condition_text(condition, vocabulary)}, {step_text(then, vocabulary)}"
            return f"{text}, otherwise {step_text(otherwise, vocabulary)}" if otherwise else text


class _StepParser:
    """Recursive descent over the tokens of one step."""

    def __init__(self, text: str, number: int, num_steps: int, alignment: Alignment) -> None:
        self.tokens = tokenize(text.rstrip().removesuffix("."))
        self.at = 0
        self.number = number
        self.num_steps = num_steps
        self.alignment = alignment

    def parse(self) -> Step:
        step = self._step()
        if self.at < len(self.tokens):
            raise self._error(f"unexpected {self._rest()!r}")
        return step

    def _step(self) -> Step:
        if self._take("observe"):
            self._take("state", "of")
            return Observe(self._list())
        if self._take("if"):
            condition = self._condition()
            self._expect(",")
            then = self._branch()
            return If(condition, then, self._otherwise() if self._take(",") else None)
        if self._take("wait", "until"):
            condition = self._condition()
            then_follows = self._take(",", "then") or self._take("then")
            return WaitUntil(condition, self._action() if then_follows else None)
        return self._branch()

    def _branch(self) -> Act | GoTo:
        if self._take("go", "to", "step"):
            return GoTo(self._step_number())
        return Act(self._action())

    def _otherwise(self) -> Act | GoTo | Stay:
        self._expect("otherwise")
        return Stay() if self._take("stay") else self._branch()

    def _step_number(self) -> int:
        word = self._rest(1)
        if not word.isdecimal():
            raise self._error(f"expected the number of a step, got {word!r}")
        self.at += 1
        if len(word) > len(str(self.num_steps)) or not 1 <= int(word) <= self.num_steps:
            raise self._error(f"jumps to step {word}, expected one of 1 to {self.num_steps}")
        return int(word)

    def _list(self) -> tuple[str, ...]:
        names = [self._proposition()]
        while self._take(",", "and") or self._take(",") or self._take("and"):
            names.append(self._proposition())
        return tuple(names)

    def _condition(self, depth: int = 0) -> Condition:
        if depth > MAX_DEPTH:
            raise self._error(f"parentheses nest deeper than {MAX_DEPTH}")
        operands = [self._term(depth)]
        connective: Literal["and", "or"] = "or" if self._sees("or") else "and"
        while self._take(connective):
            operands.append(self._term(depth))
        if self._sees("and") or self._sees("or"):
            raise self._error("mixes 'and' with 'or': expected parentheses around one of them")
        return operands[0] if len(operands) == 1 else Junction(connective, tuple(operands))

    def _term(self, depth: int) -> Condition:
        negated = self._take("no") or self._take("not")
        if not self._take("("):
            return Atom(self._proposition(), negated)
        inner = self._condition(depth + 1)
        self._expect(")")
        return _negation(inner) if negated else inner

    def _proposition(self) -> str:
        return self._aligned("proposition")

    def _action(self) -> str:
        return self._aligned("action")

    def _aligned(self, kind: Literal["proposition", "action"]) -> str:
        find = self.alignment.proposition if kind == "proposition" else self.alignment.action
        found = find(self.tokens, self.at)
        if found is None:
            vocabulary = self.alignment.vocabulary
            ids = vocabulary.proposition_ids if kind == "proposition" else vocabulary.action_ids
            got = re.split(r" (?:[,()]|and|or|then|otherwise)(?: |$)", self._rest())[0]
            raise self._error(f"unknown {kind}: {expected_one_of(got, (vocabulary.english[name] for name in ids))}")
        name, self.at = found
        return name

    def _sees(self, *words: str) -> bool:
        return tuple(self.tokens[self.at : self.at + len(words)]) == words

    def _take(self, *words: str) -> bool:
        seen = self._sees(*words)
        self.at += len(words) if seen else 0
        return seen

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise self._error(f"expected {word!r}, got {self._rest()!r}")

    def _rest(self, num_words: int = 12) -> str:
        return " ".join(self.tokens[self.at : self.at + num_words]) or "the end of the step"

    def _error(self, reason: str) -> InvalidController:
        return InvalidController(f"step {self.number}: {reason}")


def _negation(condition: Condition) -> Condition:
    if isinstance(condition, Atom):
        return Atom(condition.proposition, not condition.negated)
    return Junction(condition.connective, condition.operands, not condition.negated)
