import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest

from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.specs.rulebook import Rulebook
from verilora.specs.waiver import Waiver
from verilora.verify.records.requirement import Requirement, parse_requirements
from verilora.verify.records.run import read_run
from verilora.verify.reports.build import build_report
from verilora.verify.reports.requirements import check_requirements, shortfalls, waived

from run_directories import write_run

# The attributes that Jenkins' junit-10.xsd has for each element, as far as they are used.
KNOWN: dict[str, set[str]] = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "time", "skipped", "timestamp"},
    "testcase": {"name", "classname", "time"},
    "skipped": {"message", "type"},
    "failure": {"message", "type"},
    "system-out": set(),
}


@pytest.fixture(scope="module")
def made(driving: Domain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    return write_run(folder, driving, driving.rulebook(), task_ids=("right-at-traffic-light",))


def junit(run: Path, domain: Domain, *texts: str, book: Rulebook | None = None) -> Element:
    config = json.loads((run / "config.json").read_text())
    required = [{"name": r.name, "least": r.least, "split": r.split} for r in parse_requirements(texts) or ()]
    book = book or domain.rulebook()
    (run / "config.json").write_text(json.dumps({**config, "require": required, "rulebook_digest": book.digest}))
    build_report(run, domain, book)
    return fromstring((run / "junit.xml").read_text())


def test_elements_are_those_that_jenkins_knows(made: Path, driving: Domain) -> None:
    waiver = Waiver(rule="phi5", by="The board", reason="A test track.", date=date(2026, 1, 31))
    waiving = replace(driving.rulebook(), waivers=(waiver,))
    for texts, book in (((), None), (("compliance=0.5", "train:phi5=1"), None), (("train:phi5=1",), waiving)):
        found = junit(made, driving, *texts, book=book)
        for element in found.iter():
            assert set(element.keys()) <= KNOWN[element.tag], element.tag
        assert all(suite.get("timestamp") == "2026-01-01T00:00:00" for suite in found)
        assert all(case.get("time") for case in found.iter("testcase"))


def test_a_run_that_reached_what_is_required_is_green(made: Path, driving: Domain) -> None:
    assert junit(made, driving).get("failures") != "0", "answers that break rules fail without requirements"
    assert junit(made, driving, "compliance=0.01").get("failures") == "0"
    found = junit(made, driving, "compliance=0.01", "train:all_kept=1")
    failed = [case.get("name") for case in found.iter("testcase") if case.find("failure") is not None]
    assert failed == ["all_kept at least 1"]
    evaluation = read_run(made).evaluation
    share = evaluation.splits["train"].after.all_kept.share
    missed = f"all_kept on train: got {share:.1%}, expected at least 100.0%"
    assert shortfalls((Requirement("all_kept", 1.0, "train"),), evaluation, driving.rulebook()) == [missed]
    assert shortfalls((Requirement("all_kept", share, "train"),), evaluation, driving.rulebook()) == []


def test_a_requirement_of_a_waived_rule_lets_nobody_down(made: Path, driving: Domain) -> None:
    evaluation = read_run(made).evaluation
    scores = evaluation.splits["train"].after.rules
    name = next(name for name, rule in scores.items() if rule.kept < rule.applicable)
    waiver = Waiver(rule=name, by="The board", reason="A test track without others.", date=date(2026, 1, 31))
    book = replace(driving.rulebook(), waivers=(waiver,))
    required, share = Requirement(name, 1.0, "train"), scores[name].share.share
    assert len(shortfalls((required,), evaluation, driving.rulebook())) == 1
    assert waived((required,), evaluation, driving.rulebook()) == []
    assert shortfalls((required,), evaluation, book) == []
    told = f"{name} on train: got {share:.1%}, expected at least 100.0%"
    reason = "waived by The board on 2026-01-31: A test track without others."
    assert waived((required,), evaluation, book) == [f"{told}; {reason}"]
    assert waived((Requirement(name, share, "train"),), evaluation, book) == []
    measure = Requirement("all_kept", 1.0, "train")
    assert len(shortfalls((measure,), evaluation, book)) == 1

    found = junit(made, driving, f"train:{name}=1", "train:all_kept=1", book=book)
    cases = {
        str(case.get("name")): case for case in found.iter("testcase") if case.get("classname") == "required.train"
    }
    skipped = cases[f"{name} at least 1"].find("skipped")
    assert skipped is not None
    assert (skipped.get("type"), skipped.get("message")) == ("waived", reason)
    assert cases[f"{name} at least 1"].findtext("system-out") == told
    assert cases["all_kept at least 1"].find("failure") is not None
    assert found.get("failures") == "1"


def test_a_waived_rule_that_is_broken_is_skipped_and_told(made: Path, driving: Domain) -> None:
    def failed(found: Element) -> set[str]:
        return {str(case.get("name")) for case in found.iter("testcase") if case.find("failure") is not None}

    before = failed(junit(made, driving))
    name = sorted(before)[0]
    waiver = Waiver(rule=name, by="The board", reason="A test track.", date=date(2026, 1, 31))
    found = junit(made, driving, book=replace(driving.rulebook(), waivers=(waiver,)))
    assert failed(found) == before - {name}
    cases = [case for case in found.iter("testcase") if case.get("name") == name]
    told = [case for case in cases if "Before training: " in (case.findtext("system-out") or "")]
    assert told
    assert all(skip.get("message") == str(waiver) for case in told for skip in case.findall("skipped"))
    suites = list(found)
    assert sum(int(suite.get("skipped", "")) for suite in suites) == len(found.findall("testsuite/testcase/skipped"))


def test_a_rule_that_applies_nowhere_lets_down_only_who_asks_for_that_split(made: Path, driving: Domain) -> None:
    evaluation = read_run(made).evaluation
    name = next(name for name, rule in evaluation.splits["train"].after.rules.items() if not rule.applicable)
    assert shortfalls((Requirement(name, 0.5),), evaluation, driving.rulebook()) == []
    missed = f"{name} on train: got nothing to count, expected at least 50.0%"
    assert shortfalls((Requirement(name, 0.5, "train"),), evaluation, driving.rulebook()) == [missed]


def test_an_unknown_name_is_refused(driving: Domain) -> None:
    with pytest.raises(InputError, match=r"--require: no such measure or rule: got 'phi99', expected one of "):
        check_requirements((Requirement("phi99", 1.0),), driving.rulebook())
