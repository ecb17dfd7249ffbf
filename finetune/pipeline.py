"""The main job, stage by stage: samples, verdicts, pairs, an adapter, its evaluation, a certificate and a report.

Between stages stand files (`run_files.py`), so a run that was stopped goes on where it was.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ..specs.domain import Domain
from ..specs.files.errors import InputError
from ..specs.files.record_file import write_json
from ..specs.rulebook import Rulebook
from ..synth.models.base_model import EMBEDDED
from ..verify.audits.replay_search import ReplaySearch
from ..verify.certificates.certificate import BaseDigests, CertifiedSampling, check_adapter, read_certificate
from ..verify.certificates.issue import issue_certificate
from ..verify.records.digests import CERTIFICATE, DomainDigests, adapter_digests
from ..verify.reports.build import build_report
from ..verify.reports.summary import render_summary
from ..verify.verdicts.verifier import Verifier
from .answers.responder import Responder
from .answers.samples import derived_seed
from .answers.verdict_cache import Judge, Judged
from .evaluation.alarms import alarms
from .evaluation.baselines import Baselines, training_tokens
from .evaluation.drive import DriveComparison
from .evaluation.feasibility import check_tasks
from .evaluation.illustrations import add_replays, examples, violations
from .evaluation.splits import HELD_OUT, Responses, constrained_rates, evaluate, split_scores
from .rounds import Rounds, TrainedRound, best
from .run.config import TrainConfig
from .run.models import Models
from .run.provenance import check_unchanged, provenance
from .run.run_files import RunFiles
from .run.stage_times import StageTimes


class Pipeline:
    """One run of `train`. `key` is a private key to sign the certificate with."""

    def __init__(
        self,
        domain: Domain,
        rulebook: Rulebook,
        config: TrainConfig,
        run: RunFiles,
        out: Console,
        key: Path | None = None,
    ) -> None:
        self.domain = domain
        self.rulebook = rulebook
        self.config = config
        self.run = run
        self.out = out
        self.key = key
        self.models = Models(config, domain)
        self.times = StageTimes(run.stages, out)
        self.provenance: dict[str, Any] = {}

    def execute(self) -> None:
        """Do what is not done yet; raises InputError for what cannot be trained."""
        torch.set_num_threads(self.config.num_threads)
        # Before anything is written: the model may not be there.
        self.provenance = provenance(self.domain, self.rulebook, self.models)
        with self.times.stage("worlds"):
            check_tasks(self.domain, self.rulebook, self.out.print)
        self._begin()
        judge = Judge(Verifier(self.domain, self.rulebook, self.config.settings), self.run.verdicts, self._processes)
        responder = Responder(self.config, self.domain, self.models, judge, self.out, self.times)
        before = evaluate(self.run, responder, "before", None)
        rounds = Rounds(self.run, responder).train()
        chosen = best(rounds)
        self._install(chosen)
        self._evaluate(responder, before, chosen, rounds)
        with self.times.stage("certificate"):
            self._certify(chosen.responses)
        with self.times.stage("report"):
            report = build_report(self.run.path, self.domain, self.rulebook)
        self.out.print(render_summary(report))
        self.out.print(f"adapter, certificate and report are in {self.run.path}")

    @property
    def _processes(self) -> int:
        return self.config.num_processes

    def _begin(self) -> None:
        """Write config.json, or check that what a run under way depends on is as it was."""
        if self.run.config_path.exists():
            check_unchanged(self.run.config_path, self.run.read_config(), self.provenance, self.out.print)
        else:
            self.run.write_config({**self.config.to_json(), **self.provenance})

    def _install(self, chosen: TrainedRound) -> None:
        """Make the best round's adapter the run's; it is complete or does not exist.

        Raises InputError if another one stands there: its answers were not judged.
        """
        trained = self.run.round_adapter(chosen.number)
        if not self.run.adapter.exists():
            unfinished = self.run.path / "adapter.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(trained, unfinished)
            unfinished.rename(self.run.adapter)
        elif adapter_digests(self.run.adapter) != adapter_digests(trained):
            message = f"is not the adapter whose answers were judged: expected that of {trained}"
            raise InputError(self.run.adapter, message)

    def _evaluate(
        self, responder: Responder, before: Responses, chosen: TrainedRound, rounds: list[TrainedRound]
    ) -> None:
        """Write eval.json, the last stage that samples."""
        if self.run.evaluation.exists():
            return
        after = chosen.responses
        splits = split_scores(before, after)
        telling = Verifier(self.domain, self.rulebook, replace(self.config.settings, witnesses=True))
        left = violations(_held_out(after), telling, self.config.evaluation.num_replays)
        compared = Baselines(self.run, responder, telling).compare(before["validation"], after["validation"])
        if self.config.evaluation.drive_seconds:
            with self.times.stage("replays"):
                add_replays(left, ReplaySearch(self.domain, self.rulebook, self.config.settings.reading), self.run)
        driven = DriveComparison(self.run, responder, self.rulebook).compare(_held_out(before), _held_out(after))
        write_json(
            self.run.evaluation,
            {
                "splits": splits,
                "baselines": compared,
                "training_tokens": training_tokens(self.run),
                "drive": driven,
                "violations": left,
                "examples": examples(before["validation"], after["validation"], telling),
                "alarms": alarms(splits, self.config.mode),
                "rounds": [
                    {
                        "round": entry.number,
                        "pairs": entry.num_pairs,
                        "validation": entry.validation,
                        "kept": entry is chosen,
                    }
                    for entry in rounds
                ],
                "constrained": constrained_rates(self.run, responder, before["validation"]),
            },
        )

    def _certify(self, after: Responses) -> None:
        """Issue the certificate over the answers to held-out prompts; one that is there, perhaps signed, stays."""
        config = self.config
        if self.key is None and (self.run.adapter / CERTIFICATE).exists():
            check_adapter(self.run.adapter, read_certificate(self.run.adapter))
            return
        verifier = Verifier(self.domain, self.rulebook, config.settings)
        issue_certificate(
            self.run.adapter,
            domain=self.domain,
            rulebook=self.rulebook,
            settings=config.settings,
            base=BaseDigests(
                name=config.model or EMBEDDED,
                digest=self.provenance["model_digest"],
                tokenizer_digest=self.provenance["tokenizer_digest"],
            ),
            sampling=CertifiedSampling(
                splits=tuple(split for split in HELD_OUT if split in after),
                samples_per_prompt=config.evaluation.held_out,
                batch_size=config.batch_size,
                prompt_style=self.models.prompter().style,
                temperature=config.temperature,
                top_p=config.top_p,
                max_new_tokens=config.max_new_tokens,
                constrained=config.constrained,
                device=config.device,
                seed=derived_seed(config.seed, "held-out prompts"),
            ),
            verdicts=[
                verifier.verify_text(answer.sample.text, self.domain.task(answer.sample.task_id))
                for answer in _held_out(after)
            ],
            key=self.key,
            digests=DomainDigests(
                rulebook=self.provenance["rulebook_digest"],
                tasks=self.provenance["tasks_digest"],
                worlds=self.provenance["worlds"],
            ),
        )


def _held_out(responses: Responses) -> list[Judged]:
    return [answer for split in HELD_OUT for answer in responses.get(split, ())]
