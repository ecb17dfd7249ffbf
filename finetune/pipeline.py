"""The main job, stage by stage: samples, verdicts, pairs, an adapter, its evaluation, a certificate and a report.

Between stages stand files (`run_files.py`), so a run that was stopped goes on where it was.
"""

import shutil
from pathlib import Path

import torch
from rich.console import Console

from ..specs.domain import Domain
from ..specs.files.atomic import replacing, write_json
from ..specs.files.errors import InputError
from ..specs.recorded_waits import RecordingSet
from ..specs.rulebook import Rulebook
from ..synth.models.base_model import EMBEDDED
from ..verify.audits.replay_search import ReplaySearch
from ..verify.certificates.certificate import check_certified, read_certificate
from ..verify.certificates.content import BaseDigests, CertifiedSampling
from ..verify.certificates.issue import Measurement, issue_certificate
from ..verify.records.digests import CERTIFICATE, adapter_digests
from ..verify.records.evaluation import Evaluation, Round
from ..verify.records.run import Provenance, read_config
from ..verify.records.run_files import RunFiles
from ..verify.reports.build import build_report
from ..verify.reports.report import Report
from ..verify.reports.summary import render_summary
from ..verify.verdicts.verifier import Verifier
from .answers.responder import Responder
from .answers.score import mean_quality
from .answers.scored_answer import ScoredAnswer
from .answers.verdict_cache import VerdictCache
from .evaluation.alarms import alarms
from .evaluation.baselines import Baselines, training_tokens
from .evaluation.drive import DriveComparison
from .evaluation.feasibility import check_tasks
from .evaluation.illustrations import examples, violations, with_replay
from .evaluation.memorised import memorised
from .evaluation.splits import HELD_OUT, Responses, constrained_rates, evaluate, split_scores
from .evaluation.task_rules import task_rules
from .rounds import Rounds, TrainedRound, best
from .run.config import TrainConfig
from .run.config_file import write_config
from .run.models import Models
from .run.provenance import check_same_origin, provenance
from .run.seeds import derived_seed
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
        self.verifier = Verifier(domain, rulebook, config.settings)

    def execute(self) -> Report:
        """Do what is not done yet, and return the report; raises InputError for what cannot be trained."""
        torch.set_num_threads(self.config.num_threads)
        # Before anything is written: the model may not be there.
        origin = provenance(self.domain, self.rulebook, self.models)
        with self.times.stage("worlds"):
            check_tasks(self.domain, self.rulebook, self.out.print, self.config.ending)
        self._begin(origin)
        verdicts = VerdictCache(self.verifier, self.run.verdicts, self.config.num_processes)
        ranking = self._ranking(verdicts)
        responder = Responder(self.config, self.domain, self.models, verdicts, ranking, self.out, self.times)
        before = evaluate(self.run, responder, "before", None)
        rounds = Rounds(self.run, responder).train()
        chosen = best(rounds)
        # The base model is round 0. What is better is decided by the mean; whether it may be chance, the report tells.
        base = mean_quality(responder.ranked(before["validation"]))
        is_kept = self.config.keep_worse or chosen.validation.mean > base.mean
        self._install(chosen, self.run.adapter if is_kept else self.run.rejected)
        self._evaluate(responder, before, chosen, rounds, is_kept=is_kept)
        if is_kept:
            with self.times.stage("certificate"):
                self._certify(chosen, origin)
        with self.times.stage("report"):
            report = build_report(self.run.path, self.domain, self.rulebook)
        self.out.print(render_summary(report))
        what = "adapter, certificate and report" if is_kept else "the report and the rejected adapter"
        self.out.print(f"{what} are in {self.run.path}")
        return report

    def _ranking(self, verdicts: VerdictCache) -> VerdictCache:
        """Return the verdicts that training goes by, in the file of all; the same where no waits are replayed."""
        verifier = self.verifier.replaying(RecordingSet.RANKING)
        if verifier is self.verifier:
            return verdicts
        return VerdictCache(verifier, self.run.verdicts, self.config.num_processes)

    def _begin(self, origin: Provenance) -> None:
        """Write config.json, or check that what a run under way depends on is as it was."""
        if self.run.config.exists():
            check_same_origin(self.run.config, read_config(self.run), origin, self.out.print)
        else:
            write_config(self.run, self.config, origin)

    def _install(self, chosen: TrainedRound, place: Path) -> None:
        """Put the best round's adapter in its place; it is complete or does not exist.

        Raises InputError if another one stands there: its answers were not judged.
        """
        trained = self.run.round_adapter(chosen.number)
        if not place.exists():
            with replacing(place) as unfinished:
                shutil.copytree(trained, unfinished)
        elif adapter_digests(place) != adapter_digests(trained):
            message = f"is not the adapter whose answers were judged: expected that of {trained}"
            raise InputError(place, message)

    def _evaluate(
        self,
        responder: Responder,
        before: Responses,
        chosen: TrainedRound,
        rounds: list[TrainedRound],
        *,
        is_kept: bool,
    ) -> None:
        """Write eval.json, the last stage that samples."""
        if self.run.evaluation.exists():
            return
        after, settings = chosen.responses, self.config.evaluation
        splits = split_scores(before, after)
        telling = self.verifier.with_witnesses()
        left = violations(_held_out(after), telling, settings.num_replays)
        choosing = responder.ranking.verifier.with_witnesses()
        compared = Baselines(self.run, responder, choosing).compare(before["validation"], after["validation"])
        if settings.drive_seconds:
            with self.times.stage("replays"):
                search = ReplaySearch(self.domain, self.rulebook, self.config.settings.reading)
                left = [with_replay(violation, search, self.run) for violation in left]
        driven = DriveComparison(self.run, responder, self.rulebook).compare(_held_out(before), _held_out(after))
        evaluation = Evaluation(
            splits=splits,
            baselines=compared,
            memorised=memorised(responder, [split for split in HELD_OUT if split in after]),
            training_tokens=training_tokens(self.run),
            drive=driven,
            violations=tuple(left),
            examples=examples(before["validation"], after["validation"], telling),
            alarms=alarms(splits, self.config.mode),
            rounds=tuple(
                Round(
                    round=entry.number,
                    pairs=entry.num_pairs,
                    validation=entry.validation,
                    kept=is_kept and entry is chosen,
                )
                for entry in rounds
            ),
            rejected=not is_kept,
            constrained=constrained_rates(self.run, responder, before["validation"]),
            task_rules=task_rules(before, after, telling),
        )
        write_json(self.run.evaluation, evaluation.model_dump(mode="json"))

    def _certify(self, chosen: TrainedRound, origin: Provenance) -> None:
        """Issue the certificate over the answers to held-out prompts; one that is there, perhaps signed, stays."""
        config, answers = self.config, _held_out(chosen.responses)
        if self.key is None and (self.run.adapter / CERTIFICATE).exists():
            check_certified(self.run.adapter, read_certificate(self.run.adapter))
            return
        base = BaseDigests(
            name=config.model or EMBEDDED, digest=origin.model_digest, tokenizer_digest=origin.tokenizer_digest
        )
        sampling = CertifiedSampling(
            splits=tuple(split for split in HELD_OUT if split in chosen.responses),
            samples_per_prompt=config.evaluation.held_out,
            batch_size=config.batch_size,
            prompt_style=self.models.prompter().style,
            temperature=config.temperature,
            top_p=config.top_p,
            max_new_tokens=config.max_new_tokens,
            constrained=config.constrained,
            device=config.device,
            seed=derived_seed(config.seed, "held-out prompts"),
        )
        measured = Measurement(
            domain=self.domain,
            rulebook=self.rulebook,
            settings=config.settings,
            base=base,
            sampling=sampling,
            texts=[answer.sample.text for answer in answers],
            verdicts=[answer.verdict for answer in answers],
            digests=origin.domain_digests,
            files={
                path.relative_to(self.run.path).as_posix(): path
                for path in (self.run.samples, self.run.verdicts, self.run.evaluated(f"after-{chosen.number}"))
                if path.is_file()
            },
        )
        issue_certificate(self.run.adapter, measured, self.key)


def _held_out(responses: Responses) -> list[ScoredAnswer]:
    return [answer for split in HELD_OUT for answer in responses.get(split, ())]
