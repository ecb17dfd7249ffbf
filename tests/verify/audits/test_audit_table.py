"""The auditor's table: one row for each rule and task, and nothing in it that a spreadsheet would run."""

import csv
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from verilora.specs.domain import Domain
from verilora.specs.logic import Formula
from verilora.specs.rulebook import Rule, Rulebook
from verilora.specs.waiver import Waiver
from verilora.verify.audits.audit_table import COLUMNS, audit_csv, source_of
from verilora.verify.records.evaluation import Finding, Replay, TaskRule
from verilora.verify.records.run import Run, read_run
from verilora.verify.reports.build import build_report

from run_directories import write_run

TASK = "right-at-traffic-light"
COUNTS = {"invalid": 1, "violated": 2, "unknown": 3, "observed": 4, "satisfied": 5}


@pytest.fixture(scope="module")
def made(driving: Domain, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    return read_run(write_run(folder, driving, driving.rulebook("paper"), task_ids=(TASK,), per_prompt=1))


def table(run: Run, book: Rulebook) -> list[dict[str, str]]:
    return list(csv.DictReader(audit_csv(run, book).splitlines(keepends=True), strict=True))


def counted(run: Run, *entries: TaskRule, replay: Replay | None = None) -> Run:
    violations = tuple(
        violation.model_copy(update={"task": TASK, "rule": "phi5", "replay": replay})
        for violation in run.evaluation.violations[:1]
    )
    assert violations
    return replace(run, evaluation=run.evaluation.model_copy(update={"task_rules": entries, "violations": violations}))


def entry(rule: str, task: str = TASK, finding: Finding | None = None) -> TaskRule:
    return TaskRule(rule=rule, task=task, splits=("validation",), before=COUNTS, after={"violated": 7}, finding=finding)


def test_a_row_goes_from_a_rule_to_its_waiver(made: Run, driving: Domain) -> None:
    waiver = Waiver(rule="phi5", by="The board", reason="A test track.", date=date(2026, 1, 31))
    book = replace(driving.rulebook("paper"), waivers=(waiver,))
    place = Finding(when="after", split="validation", wording="Go right", sample=3, witness="nothing: turn right")
    run = counted(
        made, entry("phi5", finding=place), entry("phi5", "other"), entry("phi1"), replay=Replay(seed=9, searched=4)
    )
    rows = table(run, book)
    assert [row["rule"] for row in rows] == ["phi1", "phi2", "phi3", "phi4", "phi5", "phi5"] + [
        f"phi{number}" for number in range(6, 16)
    ]
    rule = next(rule for rule in book.rules if rule.id == "phi5")
    assert rows[4] == {
        "rule": "phi5",
        "source": rule.source,
        "formula": rule.formula.text,
        "english": rule.english,
        "task": TASK,
        "splits": "validation",
        **{f"before_{word}": str(count) for word, count in COUNTS.items()},
        **{f"after_{word}": "7" if word == "violated" else "0" for word in COUNTS},
        "witness": "nothing: turn right",
        "witness_when": "after",
        "witness_split": "validation",
        "witness_prompt": "Go right",
        "witness_sample": "3",
        "replay": "seed 9",
        "waiver": "waived by The board on 2026-01-31: A test track.",
    }
    assert (rows[5]["task"], rows[5]["replay"], rows[5]["witness"]) == ("other", "", "")
    assert {name for name in COLUMNS if rows[1][name]} == {"rule", "source", "formula", "english"}


@pytest.mark.parametrize(
    ("replay", "told"),
    [
        (None, ""),
        (Replay(seed=None, searched=12), "not reproduced in 12"),
        (Replay(seed=7, searched=12), "seed 7"),
        (Replay(seed=7, searched=12, pending=True), "seed 7, pending at the horizon"),
    ],
)
def test_a_replay_is_named_by_its_seed(made: Run, driving: Domain, replay: Replay | None, told: str) -> None:
    rows = table(counted(made, entry("phi5"), replay=replay), driving.rulebook("paper"))
    assert next(row for row in rows if row["rule"] == "phi5")["replay"] == told


def test_where_a_rule_comes_from(driving: Domain, greenhouse: Domain) -> None:
    book = driving.rulebook("no-right-on-red")
    assert {source_of(rule, book) for rule in book.rules} == {rule.source for rule in book.rules}
    plain = greenhouse.rulebook()
    assert source_of(plain.rules[0], plain) == "rulebooks/default.yaml (rulebook default)"
    calm = Rule(id="calm", formula=Formula("G(frost -> hold)"), english="It holds.")
    assert source_of(calm, plain.extended("mine", calm)) == "rulebook mine"


def test_a_spreadsheet_runs_nothing_of_it(made: Run, driving: Domain) -> None:
    evil = '=HYPERLINK("http://evil.example","x")\x1b[2J'
    place = Finding(when="after", split="test", wording="@SUM(A1)", sample=0, witness=evil)
    waiver = Waiver(rule="phi5", by="-1", reason="+1", date=date(2026, 1, 31))
    rules = tuple(rule.model_copy(update={"source": "\t=1", "english": "+1"}) for rule in driving.rulebook().rules)
    book = replace(driving.rulebook(), rules=rules, waivers=(waiver,))
    rows = table(counted(made, entry("phi5", finding=place)), book)
    assert not [cell for row in rows for cell in row.values() if cell[:1] in set("=+-@\t") and cell]
    assert "'=HYPERLINK" in audit_csv(counted(made, entry("phi5", finding=place)), book)
    assert "\x1b" not in "".join(cell for row in rows for cell in row.values())


def test_the_report_writes_it_and_writes_it_again(made: Run, driving: Domain) -> None:
    build_report(made.files.path, driving, driving.rulebook("paper"))
    path: Path = made.files.audit
    assert path.name == "audit.csv"
    first = path.read_bytes()
    assert first.decode().startswith('"rule","source","formula",')
    path.unlink()
    build_report(made.files.path, driving, driving.rulebook("paper"))
    assert path.read_bytes() == first == audit_csv(made, driving.rulebook("paper")).encode()
