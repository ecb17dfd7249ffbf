"""Answers with their verdicts, which pairs, scores and evaluations are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...specs.domain import Domain
from ...verify.records.verdict import Verdict
from .samples import Sample
from .verdict_cache import VerdictCache


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredAnswer:
    """A response and what was found about it. Equivalent controllers share `behaviour`."""

    sample: Sample
    verdict: Verdict
    behaviour: str
    never_moves: bool

    @property
    def prompt(self) -> tuple[str, str]:
        """The task and the wording that were asked."""
        return self.sample.task_id, self.sample.wording


def scored(samples: Sequence[Sample], domain: Domain, verdicts: VerdictCache) -> list[ScoredAnswer]:
    """Return samples with their verdicts, in their order."""
    found = verdicts.verify([(sample.text, domain.task(sample.task_id)) for sample in samples])
    return [
        ScoredAnswer(sample=sample, verdict=entry.verdict, behaviour=entry.behaviour, never_moves=entry.never_moves)
        for sample, entry in zip(samples, found, strict=True)
    ]
