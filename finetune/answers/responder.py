"""Asks a model, verifies its answers, and keeps both in the run directory."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ...specs.domain import Domain
from ...verify.commands.terminal import progress
from ..run.config import TrainConfig
from ..run.models import Models
from ..run.stage_times import StageTimes
from .samples import Ask, SampleFile
from .scored_answer import ScoredAnswer, scored
from .verdict_cache import VerdictCache


class Responder:
    """The model, the verdicts and the console of a run.

    `verdicts` are those that are reported. `ranking` are those that training and its choices go by: they rest on other
    recorded waits, so that nothing that is reported was chosen for being reported well.
    """

    def __init__(
        self,
        config: TrainConfig,
        domain: Domain,
        models: Models,
        verdicts: VerdictCache,
        ranking: VerdictCache,
        out: Console,
        times: StageTimes,
    ) -> None:
        self.config = config
        self.domain = domain
        self.models = models
        self.verdicts = verdicts
        self.ranking = ranking
        self.out = out
        self.times = times

    def answer(
        self,
        path: Path,
        name: str,
        asks: Sequence[Ask],
        adapter: Path | None = None,
        *,
        first: int = 0,
        constrained: bool | None = None,
        is_ranking: bool = False,
    ) -> list[ScoredAnswer]:
        """Return answers to asks with their verdicts; what the file holds already is not sampled again.

        `name` decides the seeds. With `first`, the answers stand behind so many others in the file. `constrained` is
        as the run's settings have it if it is not given. With `is_ranking` the verdicts are those to choose by.
        """
        sampling = self.models.sampling
        if constrained is not None:
            sampling = replace(sampling, constrained=constrained)
        file = SampleFile(path, name, asks, self.config.batch_size, self.config.seed, first)
        who = "base model" if adapter is None else "adapter"
        with (
            self.times.stage(f"sample {name}, {who}"),
            progress(self.out, "  answers", len(asks)) as report,
        ):
            samples = file.fill(lambda: self.models.generator(adapter), sampling, report)
        with self.times.stage(f"verify {name}, {who}"):
            return scored(samples, self.domain, self.ranking if is_ranking else self.verdicts)

    def ranked(self, answers: Sequence[ScoredAnswer]) -> list[ScoredAnswer]:
        """Return answers with the verdicts to choose by."""
        return scored([answer.sample for answer in answers], self.domain, self.ranking)

    def reported(self, answers: Sequence[ScoredAnswer]) -> list[ScoredAnswer]:
        """Return answers with the verdicts that are reported."""
        return scored([answer.sample for answer in answers], self.domain, self.verdicts)
