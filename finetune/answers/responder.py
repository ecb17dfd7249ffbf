"""Asks a model, judges its answers, and keeps both in the run directory."""

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
from .verdict_cache import Judge, Judged


class Responder:
    """The model, the judge and the console of a run."""

    def __init__(
        self, config: TrainConfig, domain: Domain, models: Models, judge: Judge, out: Console, times: StageTimes
    ) -> None:
        self.config = config
        self.domain = domain
        self.models = models
        self.judge = judge
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
    ) -> list[Judged]:
        """Return judged answers to asks; what the file holds already is not sampled again.

        `name` decides the seeds. With `first`, the answers stand behind so many others in the file. `constrained` is
        as the run's settings have it if it is not given.
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
            judgements = self.judge.judge([(sample.text, self.domain.task(sample.task_id)) for sample in samples])
        return [Judged(sample, judgement) for sample, judgement in zip(samples, judgements, strict=True)]
