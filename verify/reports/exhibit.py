"""Exhibits: answers as a report shows them: text, drawing, what is broken, and a course of events that shows it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.rulebook import Rule, Rulebook
from ...synth.controllers.alignment import Alignment
from ...synth.controllers.controller import Reading
from ...synth.controllers.drawing import draw_controller
from ...synth.controllers.steps import InvalidController
from ..records.evaluation import AnswerRecord, Violation
from ..records.run import Run
from ..records.verdict import Moment, Status, Verdict, Witness
from ..verdicts.response import read_controller
from ..verdicts.witness import SHOWN_MOMENTS

GATES = {
    "goal": "The controller makes the movement that the task asks for, and no other.",
    "progress": "The controller never comes to rest for good.",
    "timely": "What the task asks for begins in time in enough recorded waits.",
}
BROKEN = (Status.VIOLATED, Status.UNKNOWN)
MAX_WIDTH = 560
"""How wide a drawing, in pixels, may stand beside its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstantView:
    """One instant of a witness in words."""

    time: int
    steps: str
    case: str
    action: str
    is_idle: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessView:
    """A witness in words; `left_out` instants are not shown."""

    prefix: tuple[InstantView, ...]
    cycle: tuple[InstantView, ...]
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """An answer. `drawing` is its automaton as SVG, empty if it is no controller."""

    text: str
    verdict: Verdict
    drawing: str
    broken: tuple[tuple[str, str], ...]

    @property
    def is_wide(self) -> bool:
        """Whether the drawing needs the whole width of a page."""
        width = re.search(r'width="(\d+)"', self.drawing)
        return width is not None and int(width[1]) > MAX_WIDTH


class Exhibitor:
    """Shows the answers of a run in the words of its domain."""

    def __init__(self, run: Run, domain: Domain, rulebook: Rulebook) -> None:
        self.run = run
        self.english = domain.vocabulary.english
        self.vocabulary = domain.vocabulary
        self.alignment = Alignment(domain.vocabulary)
        self.reading = Reading(ending=run.config.ending, otherwise=run.config.otherwise)
        self.rules: Mapping[str, Rule] = {rule.id: rule for rule in rulebook.rules}

    def show(self, answer: AnswerRecord) -> Exhibit:
        """Return an answer with its drawing and all that it breaks."""
        try:
            drawing = draw_controller(read_controller(answer.text, self.alignment, self.reading))
        except InvalidController:
            drawing = ""
        verdict = answer.verdict
        gates = [
            (f"gate {gate.name}", self.meaning(gate.name, gate.formula))
            for gate in verdict.gates
            if gate.status in BROKEN
        ]
        if verdict.timely and not verdict.is_timely:
            begun = f"{verdict.timely.event} began in {verdict.timely.share:.0%} of them"
            gates.append(("gate timely", self.meaning("timely", begun)))
        rules = [rule.rule_id for rule in verdict.deciding if rule.status in BROKEN]
        broken = (*gates, *((name, self.meaning(name)) for name in rules)) if verdict.valid else ()
        return Exhibit(text=answer.text, verdict=verdict, drawing=drawing, broken=tuple(broken))

    def meaning(self, name: str, formula: str = "") -> str:
        """Return a rule or a gate in English, a gate with its formula."""
        if name in self.rules:
            return self.rules[name].english
        return f"{GATES[name]} ({formula})" if name in GATES else formula

    def witness(self, violation: Violation) -> WitnessView | None:
        """Return the witness of a violation, None if there is none; raises InputError for a rule that is not judged."""
        verdict = violation.verdict
        witnesses = {rule.rule_id: rule.witness for rule in verdict.rules}
        witnesses |= {gate.name: gate.witness for gate in verdict.gates}
        if violation.rule not in witnesses:
            message = f"{violation.rule!r} is no rule or gate of the verdict beside it"
            raise InputError(self.run.files.evaluation, message, field="violations")
        witness = witnesses[violation.rule]
        return self._tell(witness, violation.text) if witness else None

    def _tell(self, witness: Witness, text: str) -> WitnessView:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        prefix, cycle = witness.prefix, witness.cycle
        left_out = max(0, len(prefix) - SHOWN_MOMENTS) + max(0, len(cycle) - SHOWN_MOMENTS)
        left_out += witness.num_before + witness.num_after
        first = witness.num_before + 1
        return WitnessView(
            prefix=self._instants(prefix[:SHOWN_MOMENTS], first, lines),
            cycle=self._instants(cycle[:SHOWN_MOMENTS], first + len(prefix), lines),
            left_out=left_out,
        )

    def _instants(self, moments: Sequence[Moment], first: int, lines: Sequence[str]) -> tuple[InstantView, ...]:
        return tuple(
            InstantView(
                time=time,
                steps=" → ".join(lines[number - 1] for number in moment.steps if number <= len(lines)) or moment.state,
                case=", ".join(self.english.get(name, name) for name in moment.propositions) or "nothing",
                action=self.english.get(moment.action, moment.action),
                is_idle=moment.action == self.vocabulary.idle,
            )
            for time, moment in enumerate(moments, start=first)
        )
