"""The report for programs: `report.json`, described by docs/report.schema.json."""

from dataclasses import asdict
from typing import Any

from ..records.evaluation import BeforeAfter, Evaluation
from . import comparison, findings
from .comparison import MemorisedRow
from .findings import Change
from .report import Report

FORMAT = 2


def report_json(report: Report) -> dict[str, Any]:
    """Return a report as the JSON object that docs/report.schema.json describes."""
    run, evaluation = report.run, report.run.evaluation
    certificate = report.certificate
    return {
        "format": FORMAT,
        "run": run.name,
        "task": run.config.task,
        "rulebook": run.config.rulebook,
        "verdict": {
            "sentence": findings.sentence(run),
            "split": findings.hardest_split(run),
            "measure": findings.quality_name(run.config.mode),
            "caveats": findings.caveats(run),
            "worse_rules": findings.worse_rules(run),
        },
        "splits": {split: _split(scores) for split, scores in evaluation.splits.items()},
        "baselines": {name: baseline.model_dump(mode="json") for name, baseline in evaluation.baselines.items()},
        "memorised": {row.key: _memorised(row) for row in comparison.memorised(evaluation, run.config.mode)},
        "drive": evaluation.drive.model_dump(mode="json") if evaluation.drive else None,
        "violations": _violations(evaluation),
        "waivers": [waiver.model_dump(mode="json") for waiver in report.rulebook.waivers],
        "alarms": [alarm.model_dump(mode="json") for alarm in evaluation.alarms],
        "rejected": evaluation.rejected,
        "rounds": [entry.model_dump(mode="json") for entry in evaluation.rounds],
        "training": [row.model_dump(mode="json") for row in run.training],
        "constrained": evaluation.constrained.model_dump(mode="json") if evaluation.constrained else None,
        "coverage": [_plain(asdict(world)) for world in report.coverage],
        "ceiling": _plain(asdict(report.ceiling)) if report.ceiling else None,
        "certificate": certificate.model_dump(mode="json") if certificate else None,
        "config": run.config.model_dump(mode="json"),
    }


def _split(scores: BeforeAfter) -> dict[str, Any]:
    before = scores.before.rules
    changes = {
        name: findings.rule_change(before[name], after) if name in before else Change.NONE
        for name, after in scores.after.rules.items()
    }
    return {**scores.model_dump(mode="json"), "rule_changes": {name: str(moved) for name, moved in changes.items()}}


def _memorised(row: MemorisedRow) -> dict[str, Any]:
    splits = {one.split: {**one.baseline.model_dump(mode="json"), "adapter": str(one.change)} for one in row.reached}
    return {"words": row.words, "sentence": row.sentence, "splits": splits}


def _violations(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return what is still violated; the verdicts with their courses of events stand in eval.json."""
    return [violation.model_dump(mode="json", exclude={"verdict"}) for violation in evaluation.violations]


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
