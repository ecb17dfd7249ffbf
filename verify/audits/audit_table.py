"""The table for an auditor (`audit.csv`): from each rule and task to its verdicts, a witness, a replay and a waiver."""

from collections.abc import Iterator

from ...specs.files.csv_file import Cell, csv_text
from ...specs.rulebook import Rule, Rulebook
from ..records.evaluation import Evaluation, Finding, Replay, TaskRule
from ..records.run import Run
from ..records.verdict import Status

STATUSES = tuple(status.word for status in Status)
COLUMNS = (
    "rule",
    "source",
    "formula",
    "english",
    "task",
    "splits",
    *(f"before_{word}" for word in STATUSES),
    *(f"after_{word}" for word in STATUSES),
    "witness",
    "witness_when",
    "witness_split",
    "witness_prompt",
    "witness_sample",
    "replay",
    "waiver",
)


def audit_csv(run: Run, rulebook: Rulebook) -> str:
    """Return the table as CSV: a row for each rule and each task that it applies to, in the order of the book.

    Counts are answers of the held-out splits by status. A rule that applies to no task that was asked has one row,
    without a task and counts.
    """
    return csv_text(COLUMNS, _rows(run.evaluation, rulebook))


def source_of(rule: Rule, rulebook: Rulebook) -> str:
    """Return where a rule comes from, as the book says it, else the book's file and name."""
    if rule.source:
        return rule.source
    book = rulebook.written_in.get(rule.id)
    return f"rulebooks/{book}.yaml (rulebook {book})" if book else f"rulebook {rulebook.name}"


def _rows(evaluation: Evaluation, rulebook: Rulebook) -> Iterator[tuple[Cell, ...]]:
    for rule in rulebook.rules:
        waiver = rulebook.waiver(rule.id)
        said = (rule.id, source_of(rule, rulebook), rule.formula.text, rule.english)
        found = [entry for entry in evaluation.task_rules if entry.rule == rule.id]
        for counted in (_counted(entry, evaluation) for entry in found) if found else (_NOTHING,):
            yield (*said, *counted, str(waiver or ""))


# Of a rule that no answer was judged by: everything between the rule and its waiver.
_NOTHING: tuple[Cell, ...] = ("",) * (len(COLUMNS) - 5)


def _counted(entry: TaskRule, evaluation: Evaluation) -> tuple[Cell, ...]:
    counts = (counts.get(word, 0) for counts in (entry.before, entry.after) for word in STATUSES)
    return (entry.task, " ".join(entry.splits), *counts, *_witness(entry.finding), _replay(entry, evaluation))


def _witness(finding: Finding | None) -> tuple[Cell, ...]:
    if finding is None:
        return ("",) * 5
    return (finding.witness, finding.when, finding.split, finding.wording, finding.sample)


def _replay(entry: TaskRule, evaluation: Evaluation) -> str:
    """Return the episode that shows the violation, or in how many none did; empty if it was not looked for."""
    for violation in evaluation.violations:
        if (violation.task, violation.rule) == (entry.task, entry.rule) and violation.replay:
            return _told(violation.replay)
    return ""


def _told(replay: Replay) -> str:
    if replay.seed is None:
        return f"not reproduced in {replay.searched}"
    return f"seed {replay.seed}, pending at the horizon" if replay.pending else f"seed {replay.seed}"
