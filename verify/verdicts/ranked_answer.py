"""Answers of a language model: what it wrote, how often, and what was found about it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...specs.task import Task
from ...synth.controllers.steps import InvalidController
from ..records.verdict import Verdict
from .verifier import Verifier


@dataclass(frozen=True, slots=True)
class RankedAnswer:
    """A text and how often it came. What was not judged has no verdict; `invalid` says why it cannot be read."""

    text: str
    count: int
    invalid: str
    verdict: Verdict | None

    @property
    def rank(self) -> tuple[float, ...]:
        """Sort key, better is greater."""
        return self.verdict.rank if self.verdict else (not self.invalid,)

    def exit_code(self, *, strict: bool) -> int:
        """Return the code of `verify`; what was not judged is unknown."""
        if self.verdict:
            return self.verdict.exit_code(strict=strict)
        return 2 if self.invalid else 1

    def to_json(self) -> dict[str, Any]:
        verdict = self.verdict.to_json() if self.verdict else None
        return {"text": self.text, "count": self.count, "invalid": self.invalid, "verdict": verdict}


def rank_answers(texts: Iterable[str], task: Task | None, verifier: Verifier) -> list[RankedAnswer]:
    """Return the different answers, best first, judged as a task or, without one, only read."""
    answers = []
    for text, count in Counter(texts).items():
        parsed = verifier.parse(text)
        invalid = str(parsed) if isinstance(parsed, InvalidController) else ""
        answers.append(RankedAnswer(text, count, invalid, verifier.verify(parsed, task) if task else None))
    return sorted(answers, key=lambda answer: answer.rank, reverse=True)
