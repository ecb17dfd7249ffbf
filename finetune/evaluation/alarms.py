"""Alarms: signs that a rise in compliance is not what it seems."""

from typing import Any

from ...verify.records.verdict import Mode
from ...verify.reports.findings import quality_name

SATURATED = 0.95
TOLERANCE = 0.02
LEAST_DIVERSITY = 0.1
Scores = dict[str, dict[str, Any]]


def alarms(splits: dict[str, Scores], mode: Mode) -> list[dict[str, Any]]:
    """Return all alarms, raised or not, on the scores before and after of each split (`eval.json`)."""
    return [
        _alarm("reward-saturated", _saturated(splits, mode)),
        _alarm("always-stop-rising", _rising(splits, "always_stop", "always-stopping answers")),
        _alarm("diversity-collapsing", _collapsing(splits)),
        _alarm("parse-rate-falling", _rising(splits, "invalid", "answers that do not parse")),
        _alarm("rule-worse", _worse_rules(splits)),
    ]


def _alarm(name: str, signs: list[str]) -> dict[str, Any]:
    return {"name": name, "raised": bool(signs), "message": "; ".join(signs) or "no sign of it"}


def _saturated(splits: dict[str, Scores], mode: Mode) -> list[str]:
    """A verifier that finds nothing wrong with an untrained model is probably broken."""
    measure = "raw_share" if mode is Mode.PAPER else "compliance"
    return [
        f"{split}: the base model's {quality_name(mode)} is {scores['before'][measure]['mean']:.1%} before training, "
        "which leaves nothing to learn: is the verifier right?"
        for split, scores in splits.items()
        if scores["before"][measure]["mean"] >= SATURATED
    ]


def _rising(splits: dict[str, Scores], name: str, what: str) -> list[str]:
    """A share that must not rise: beyond its interval, or by more than the tolerance."""
    found = []
    for split, scores in splits.items():
        before, after = scores["before"][name], scores["after"][name]
        if after["low"] > before["high"] or after["share"] > before["share"] + TOLERANCE:
            found.append(f"{split}: {what} rose from {before['share']:.1%} to {after['share']:.1%}")
    return found


def _collapsing(splits: dict[str, Scores]) -> list[str]:
    """Fewer controllers are what training is for; hardly any are a model that gives one answer to everything."""
    found = []
    for split, scores in splits.items():
        before, after = (scores[when]["effective_machines"] for when in ("before", "after"))
        if after < LEAST_DIVERSITY * before:
            found.append(f"{split}: the effective number of controllers a task fell from {before:.1f} to {after:.1f}")
    return found


def _worse_rules(splits: dict[str, Scores]) -> list[str]:
    """A rule whose interval after training lies below the one before."""
    found = []
    for split, scores in splits.items():
        for rule_id, rule in scores["before"]["rules"].items():
            before, after = rule["share"], scores["after"]["rules"][rule_id]["share"]
            if rule["applicable"] and after["high"] < before["low"]:
                found.append(f"{split}: {rule_id} fell from {before['share']:.1%} to {after['share']:.1%}")
    return found
