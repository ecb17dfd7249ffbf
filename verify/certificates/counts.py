"""Counts of a certificate: what was found of the sampled answers, prompt by prompt, so that anyone can add it up."""

from collections.abc import Sequence
from math import fsum
from typing import Self

from pydantic import Field, model_validator

from ...specs.files.yaml_file import Row
from ..records.by_prompt import Groups, Interval, interval_by_group

_ROUNDING = 1e-6


class CertifiedPrompt(Row):
    """A prompt that was asked, and how many answers to it were sampled."""

    task: str
    wording: str
    num_answers: int = Field(ge=1)


class Count(Row):
    """How many of how many, in all and prompt by prompt (`counts` of `sizes`), with the interval of 95 % by prompt.

    The interval is null where prompts are too few. Raises ValueError for numbers that contradict each other.
    """

    count: int = Field(ge=0)
    of: int = Field(ge=0)
    low: float | None
    high: float | None
    counts: tuple[int, ...]
    sizes: tuple[int, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _expect("count", self.count, sum(self.counts), "what the counts by prompt add up to")
        _expect("of", self.of, sum(self.sizes), "what the sizes by prompt add up to")
        check_within("counts", self.counts, self.sizes)
        check_interval(self.low, self.high, interval_by_group(self.counts, self.sizes))
        return self

    @property
    def groups(self) -> Groups:
        """What each prompt adds up to, and its size."""
        return self.counts, self.sizes


class RuleCount(Count):
    """Answers that keep a rule. Those that do by observation only are told beside and not counted."""

    observed_only: int = Field(ge=0)

    @model_validator(mode="after")
    def _check_observed(self) -> Self:
        if self.observed_only > self.of - self.count:
            raise ValueError(f"observed_only: got {self.observed_only}, expected at most {self.of} - {self.count}")
        return self


class MeasuredTimely(Count):
    """Answers that reach the timely gate, of those for which recorded waits were replayed: measured, never proved.

    `sums` has for each prompt what the shares of waits in which they act in time add up to; `share` is their mean.
    """

    sums: tuple[float, ...]
    share: float

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        if len(self.sums) != len(self.sizes):
            raise ValueError(f"sums: got {len(self.sums)} of them, expected one for each of {len(self.sizes)} prompts")
        for place, (total, size) in enumerate(zip(self.sums, self.sizes, strict=True)):
            if not 0 <= total <= size + _ROUNDING:
                raise ValueError(f"sums.{place}: got {total}, expected from 0 to {size}")
        mean = fsum(self.sums) / self.of if self.of else 0.0
        if not abs(self.share - mean) < _ROUNDING:
            raise ValueError(f"share: got {self.share}, expected {mean}, which the sums amount to")
        return self


class Counts(Row):
    """What the sampled answers are worth: counts in the order of `prompts`, over which each adds up."""

    num_samples: int = Field(ge=1)
    prompts: tuple[CertifiedPrompt, ...]
    invalid: Count
    gates: Count
    all_kept: Count
    rules: dict[str, RuleCount]
    measured_timely: MeasuredTimely | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        sizes = tuple(prompt.num_answers for prompt in self.prompts)
        _expect("num_samples", self.num_samples, sum(sizes), "what the prompts add up to")
        if len({(prompt.task, prompt.wording) for prompt in self.prompts}) < len(self.prompts):
            raise ValueError("prompts: expected each of them once")
        for name in ("invalid", "gates", "all_kept"):
            _expect(f"{name}.sizes", getattr(self, name).sizes, sizes, "the answers to each prompt")
        for name, rule in self.rules.items():
            check_within(f"rules.{name}.sizes", rule.sizes, sizes)
        if self.measured_timely is not None:
            check_within("measured_timely.sizes", self.measured_timely.sizes, sizes)
        check_within("all_kept.counts", self.all_kept.counts, self.gates.counts)
        both = tuple(map(sum, zip(self.invalid.counts, self.gates.counts, strict=True)))
        check_within("invalid.counts and gates.counts", both, sizes)
        return self


def check_within(field: str, found: Sequence[int], most: Sequence[int]) -> None:
    """Raise ValueError unless there is a number for each prompt, from 0 to the most that it can be."""
    if len(found) != len(most):
        raise ValueError(f"{field}: got {len(found)} of them, expected one for each of {len(most)} prompts")
    for place, (number, limit) in enumerate(zip(found, most, strict=True)):
        if not 0 <= number <= limit:
            raise ValueError(f"{field}.{place}: got {number}, expected from 0 to {limit}")


def check_interval(low: float | None, high: float | None, expected: Interval | None) -> None:
    """Raise ValueError unless an interval is the one that follows from what was counted."""
    for field, number, right in zip(("low", "high"), (low, high), expected or (None, None), strict=True):
        agree = number is right if number is None or right is None else abs(number - right) < _ROUNDING
        if not agree:
            raise ValueError(f"{field}: got {number}, expected {right}, which follows from what was counted")


def _expect(field: str, found: object, expected: object, what: str) -> None:
    if found != expected:
        raise ValueError(f"{field}: got {found}, expected {expected}, {what}")
