"""The report for build servers: `junit.xml`, in which each rule of a split is a test case, and the timely gate, too.

In a run without requirements a case fails if an answer does not keep the rule. In a run with some (`train --require`)
they alone decide: each is a case beside the rules. A case that would fail is skipped if its rule is waived, and tells
the waiver. The elements are those that Jenkins' junit-10.xsd knows.
"""

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ...specs.files.printable import printable
from ...specs.rulebook import Rule
from ...specs.task import Split
from ...specs.waiver import Waiver
from ..records.evaluation import BeforeAfter, RuleScore
from . import comparison
from .findings import percent
from .report import Report
from .requirements import is_met, measured, shortfall, waiver_of


def junit(report: Report) -> str:
    """Return the report as JUnit XML: a case is skipped if its rule applies to no answer, or is waived and broken.

    A failure's type is `violated`, `invalid` if all such answers are no controllers, `not_reached` for the timely gate,
    or `required`.
    """
    config = report.run.config
    root = Element("testsuites", name=f"{config.task} under {report.rulebook.name}")
    suites: dict[Split, Element] = {}
    for split, scores in comparison.measured(report.run.evaluation):
        suites[split] = SubElement(root, "testsuite", name=split, timestamp=config.started.partition("+")[0])
        for rule in report.rulebook.rules:
            waiver = report.rulebook.waiver(rule.id)
            _case(suites[split], f"{report.rulebook.name}.{split}", rule, scores, waiver, bool(config.require))
        _timely_case(suites[split], f"gates.{split}", scores, bool(config.require))
    for required in config.require:
        for split, found in measured(required, report.run.evaluation):
            suite = suites.get(split)
            if suite is None:
                suite = suites[split] = SubElement(root, "testsuite", name=split)
            name = f"{required.name} at least {required.least:g}"
            case = SubElement(suite, "testcase", classname=f"required.{split}", name=name, time="0")
            if not is_met(required, found):
                _missed(case, shortfall(required, split, found), waiver_of(required, report.rulebook))
    for suite in root:
        _count(suite, "testcase", skipped=True)
    _count(root, "testsuite/testcase", skipped=False)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + printable(tostring(root, encoding="unicode")) + "\n"


def _case(
    suite: Element, class_name: str, rule: Rule, scores: BeforeAfter, waiver: Waiver | None, is_required: bool
) -> None:
    # What is counted takes no time of its own.
    case = SubElement(suite, "testcase", classname=class_name, name=rule.id, time="0")
    before, after = scores.before.rules.get(rule.id), scores.after.rules.get(rule.id)
    if after is None or not after.applicable:
        SubElement(case, "skipped", message="the rule applies to no task of this split")
    elif after.kept < after.applicable:
        told = f"{rule.english} Before training: {_told(before)}. After: {_told(after)}."
        if waiver is not None:
            _skip(case, waiver, told)
        elif is_required:
            SubElement(case, "system-out").text = told
        else:
            kind = "violated" if after.violated else "invalid"
            SubElement(case, "failure", type=kind, message=f"kept by {_counted(after)} answers").text = told


def _timely_case(suite: Element, class_name: str, scores: BeforeAfter, is_required: bool) -> None:
    case = SubElement(suite, "testcase", classname=class_name, name="timely", time="0")
    found, shares = scores.after.timely, scores.after.timely_share
    told = f"Measured: {found.count} of {found.of} controllers act in time; in {shares.mean:.1%} of recorded waits."
    if not found.of:
        SubElement(case, "skipped", message="no recorded waits were replayed")
    elif found.count < found.of and not is_required:
        message = f"reached by {found.count} of {found.of} controllers"
        SubElement(case, "failure", type="not_reached", message=message).text = told
    else:
        SubElement(case, "system-out").text = told


def _missed(case: Element, told: str, waiver: Waiver | None) -> None:
    """Let a case fail, or skip it if its rule is waived."""
    if waiver is None:
        SubElement(case, "failure", type="required", message=told)
    else:
        _skip(case, waiver, told)


def _skip(case: Element, waiver: Waiver, told: str) -> None:
    SubElement(case, "skipped", type="waived", message=str(waiver))
    SubElement(case, "system-out").text = told


def _told(score: RuleScore | None) -> str:
    return f"{_counted(score)} answers, {percent(score.share)}" if score and score.applicable else "not judged"


def _counted(score: RuleScore) -> str:
    return f"{score.kept} of {score.applicable}"


def _count(element: Element, cases: str, *, skipped: bool) -> None:
    """Write how many cases there are, how many failed, and of a suite how many were skipped."""
    element.set("tests", str(len(element.findall(cases))))
    element.set("failures", str(len(element.findall(f"{cases}/failure"))))
    element.set("errors", "0")
    element.set("time", "0")
    if skipped:
        element.set("skipped", str(len(element.findall(f"{cases}/skipped"))))
