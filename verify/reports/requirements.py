"""Requirements: how much of a measure, or how often a rule, answers after training must keep (`train --require`)."""

from collections.abc import Iterator

from ...specs.files.errors import InputError, expected_one_of
from ...specs.rulebook import Rulebook
from ...specs.task import Split
from ...specs.waiver import Waiver
from ..records.evaluation import Evaluation, Mean, Score, Share
from ..records.requirement import Requirement
from .findings import SPLITS

MEASURES = ("compliance", "all_kept", "gate_rate", "raw_share")


def check_requirements(requirements: tuple[Requirement, ...], rulebook: Rulebook) -> None:
    """Raise InputError for a requirement that names neither a measure nor a rule of the book."""
    known = (*MEASURES, *(rule.id for rule in rulebook.rules))
    for required in requirements:
        if required.name not in known:
            raise InputError("--require", f"no such measure or rule: {expected_one_of(required.name, known)}")


def measured(required: Requirement, evaluation: Evaluation) -> Iterator[tuple[Split, Share | Mean | None]]:
    """Yield the splits that a requirement is about, with what was measured there; None where there was nothing to."""
    for split in SPLITS if required.split is None else (required.split,):
        scores = evaluation.splits.get(split)
        if scores is not None or required.split is not None:
            yield split, _found(scores.after, required.name) if scores is not None else None


def shortfalls(requirements: tuple[Requirement, ...], evaluation: Evaluation, rulebook: Rulebook) -> list[str]:
    """Return which requirements are not met, a sentence each, but for those of waived rules."""
    missed = _missed(requirements, evaluation)
    return [sentence for required, sentence in missed if waiver_of(required, rulebook) is None]


def waived(requirements: tuple[Requirement, ...], evaluation: Evaluation, rulebook: Rulebook) -> list[str]:
    """Return which requirements of waived rules are not met, a sentence each that ends with the waiver."""
    missed = ((sentence, waiver_of(required, rulebook)) for required, sentence in _missed(requirements, evaluation))
    return [f"{sentence}; {waiver}" for sentence, waiver in missed if waiver is not None]


def waiver_of(required: Requirement, rulebook: Rulebook) -> Waiver | None:
    """Return the waiver of the rule that a requirement is about; a measure of answers has none."""
    return None if required.name in MEASURES else rulebook.waiver(required.name)


def _missed(requirements: tuple[Requirement, ...], evaluation: Evaluation) -> Iterator[tuple[Requirement, str]]:
    for required in requirements:
        for split, found in measured(required, evaluation):
            if not is_met(required, found):
                yield required, shortfall(required, split, found)


def is_met(required: Requirement, found: Share | Mean | None) -> bool:
    """Return whether enough was measured; a rule that applies nowhere lets down only who asks for that split."""
    if found is None:
        return required.split is None
    return found.value >= required.least


def shortfall(required: Requirement, split: str, found: Share | Mean | None) -> str:
    """Return what was found and what was expected."""
    got = "nothing to count" if found is None else f"{found.value:.1%}"
    return f"{required.name} on {split}: got {got}, expected at least {required.least:.1%}"


def _found(score: Score, name: str) -> Share | Mean | None:
    measures: dict[str, Share | Mean] = {
        "compliance": score.compliance,
        "all_kept": score.all_kept,
        "gate_rate": score.gate_rate,
        "raw_share": score.raw_share,
    }
    if name in measures:
        return measures[name] if measures[name].num_counted else None
    rule = score.rules.get(name)
    return rule.share if rule and rule.applicable else None
