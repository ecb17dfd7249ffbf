import json
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest

from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.verify.records.requirement import Requirement, parse_requirements
from verilora.verify.records.run import read_run
from verilora.verify.reports.build import build_report
from verilora.verify.reports.requirements import check_requirements, shortfalls

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


def junit(run: Path, domain: Domain, *texts: str) -> Element:
    config = json.loads((run / "config.json").read_text())
    required = [{"name": r.name, "least": r.least, "split": r.split} for r in parse_requirements(texts) or ()]
    (run / "config.json").write_text(json.dumps({**config, "require": required}))
    build_report(run, domain, domain.rulebook())
    return fromstring((run / "junit.xml").read_text())


def test_elements_are_those_that_jenkins_knows(made: Path, driving: Domain) -> None:
    for texts in ((), ("compliance=0.5", "train:phi5=1")):
        found = junit(made, driving, *texts)
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
    assert shortfalls((Requirement("all_kept", 1.0, "train"),), evaluation) == [missed]
    assert shortfalls((Requirement("all_kept", share, "train"),), evaluation) == []


def test_a_rule_that_applies_nowhere_lets_down_only_who_asks_for_that_split(made: Path) -> None:
    evaluation = read_run(made).evaluation
    name = next(name for name, rule in evaluation.splits["train"].after.rules.items() if not rule.applicable)
    assert shortfalls((Requirement(name, 0.5),), evaluation) == []
    missed = f"{name} on train: got nothing to count, expected at least 50.0%"
    assert shortfalls((Requirement(name, 0.5, "train"),), evaluation) == [missed]


def test_an_unknown_name_is_refused(driving: Domain) -> None:
    with pytest.raises(InputError, match=r"--require: no such measure or rule: got 'phi99', expected one of "):
        check_requirements((Requirement("phi99", 1.0),), driving.rulebook())
