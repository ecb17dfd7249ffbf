"""The report for build servers: `junit.xml`, in which each rule of a split is a test case."""

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ...specs.rulebook import Rule
from ..records.evaluation import BeforeAfter, RuleScore
from . import comparison
from .findings import percent
from .report import Report


def junit(report: Report) -> str:
    """Return the report as JUnit XML: a case fails if an answer does not keep the rule, and is skipped if none applies.

    A failure's type is `violated`, or `invalid` if all such answers are no controllers.
    """
    root = Element("testsuites", name=f"{report.run.config.task} under {report.rulebook.name}")
    for split, scores in comparison.measured(report.run.evaluation):
        suite = SubElement(root, "testsuite", name=split)
        for rule in report.rulebook.rules:
            _case(suite, f"{report.rulebook.name}.{split}", rule, scores)
        _count(suite, [suite])
    _count(root, list(root))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _case(suite: Element, class_name: str, rule: Rule, scores: BeforeAfter) -> None:
    case = SubElement(suite, "testcase", classname=class_name, name=rule.id)
    before, after = scores.before.rules.get(rule.id), scores.after.rules.get(rule.id)
    if after is None or not after.applicable:
        SubElement(case, "skipped", message="the rule applies to no task of this split")
    elif after.kept < after.applicable:
        kind = "violated" if after.violated else "invalid"
        failure = SubElement(case, "failure", type=kind, message=f"kept by {_counted(after)} answers")
        failure.text = f"{rule.english} Before training: {_told(before)}. After: {_told(after)}."


def _told(score: RuleScore | None) -> str:
    return f"{_counted(score)} answers, {percent(score.share)}" if score and score.applicable else "not judged"


def _counted(score: RuleScore) -> str:
    return f"{score.kept} of {score.applicable}"


def _count(element: Element, suites: list[Element]) -> None:
    """Write how many cases there are, and how many failed and were skipped."""
    for name, path in (("tests", "testcase"), ("failures", "testcase/failure"), ("skipped", "testcase/skipped")):
        element.set(name, str(sum(len(suite.findall(path)) for suite in suites)))
    element.set("errors", "0")
