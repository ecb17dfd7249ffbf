"""Evaluations of a run (`eval.json`): what was counted before and after training, with intervals of 95 %."""

from collections.abc import Sequence
from math import fsum
from typing import Literal, Self

from pydantic import Field, model_validator

from ...specs.files.record import Record
from ...specs.task import Split
from .by_prompt import Groups, interval_by_group
from .verdict import Verdict

When = Literal["before", "after"]


class Share(Record):
    """A share that was counted in groups: `counts` of `sizes`, group by group, in all `count` of `of`.

    A group is a prompt with its answers, in a drive a controller with its episodes. There is no interval where groups
    are too few (`MIN_GROUPS`). A group that a rule does not apply to keeps its place, with the size 0.
    """

    count: int = Field(ge=0)
    of: int = Field(ge=0)
    share: float
    low: float | None
    high: float | None
    counts: tuple[int, ...]
    sizes: tuple[int, ...]

    @classmethod
    def counted(cls, counts: Sequence[int], sizes: Sequence[int]) -> Self:
        """Return the share of what was counted in groups; of nothing it is 0."""
        count, of = sum(counts), sum(sizes)
        low, high = interval_by_group(counts, sizes) or (None, None)
        share = count / of if of else 0.0
        return cls(count=count, of=of, share=share, low=low, high=high, counts=tuple(counts), sizes=tuple(sizes))

    @property
    def value(self) -> float:
        return self.share

    @property
    def num_counted(self) -> int:
        return self.of

    @property
    def groups(self) -> Groups:
        """What each group adds up to, and its size."""
        return self.counts, self.sizes


class Mean(Record):
    """A mean over `n` answers of values from 0 to 1, with what they add up to, prompt by prompt (`sums` of `sizes`).

    There is no interval where prompts are too few (`MIN_GROUPS`).
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    sums: tuple[float, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, sums: Sequence[float], sizes: Sequence[int]) -> Self:
        """Return the mean of values that were added up in groups; of nothing it is 0."""
        num = sum(sizes)
        low, high = interval_by_group(sums, sizes) or (None, None)
        mean = fsum(sums) / num if num else 0.0
        return cls(mean=mean, low=low, high=high, n=num, sums=tuple(sums), sizes=tuple(sizes))

    @property
    def value(self) -> float:
        return self.mean

    @property
    def num_counted(self) -> int:
        return self.n

    @property
    def groups(self) -> Groups:
        """What each group adds up to, and its size."""
        return self.sums, self.sizes


class RuleScore(Record):
    """How many of the answers to which a rule applies keep it. `observed` of the kept ones do by observation only.

    `violated` do not keep it, although they are controllers.
    """

    applicable: int
    kept: int
    observed: int
    violated: int
    share: Share


class Score(Record):
    """What the answers to the prompts of one split are worth.

    `timely` are the answers that reach the timely gate, `timely_share` is the share of recorded waits in which their
    event begins in time: measured, over the controllers for which waits were replayed.
    Answers to which no rule applies are `unjudged`: compliance, all kept and what decided leave them out.
    """

    num_responses: int
    num_prompts: int
    num_tokens: int
    compliance: Mean
    raw_share: Mean
    gate_rate: Share
    all_kept: Share
    invalid: Share
    vacuous: Share
    decided: Mean
    always_stop: Share
    distinct_machines: int
    effective_machines: float
    mean_steps: float
    observed_only: Share
    unjudged: Share | None = None
    rules: dict[str, RuleScore]
    tasks: dict[str, Mean] = Field(default_factory=dict)
    timely: Share = Field(default_factory=lambda: Share.counted((), ()))
    timely_share: Mean = Field(default_factory=lambda: Mean.of((), ()))


class BeforeAfter(Record):
    """Scores of the base model, and of the base model with the adapter, on the same prompts."""

    before: Score
    after: Score

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Raise ValueError unless both speak of as many prompts, which are compared one by one."""
        before, after = (len(score.compliance.sizes) for score in (self.before, self.after))
        if before != after:
            raise ValueError(f"expected the same prompts before and after, got {before} and {after}")
        return self


Splits = dict[Split, BeforeAfter]


class Baseline(Record):
    """One way to spend the compute: what it cost, and what its answers are worth."""

    split: Split
    n: int
    num_responses: int
    num_tokens: int
    compliance: Mean
    raw_share: Mean
    all_kept: Share
    gate_rate: Share


class Memorised(Record):
    """What a table of answers, looked up without a model, reaches on held-out prompts; `answers` by task."""

    answers: dict[str, str]
    splits: dict[Split, Baseline]


class DrivenRule(Record):
    """In how many episodes a rule was kept, pending at the end, or violated."""

    kept: int
    pending: int
    violated: int
    share_violated: Share


class Drive(Record):
    """Controllers at work in the simulator: shares of their episodes.

    `all_kept_crashed` is the share of controllers with a crash by their own fault among those whose verdict keeps all.
    Runs of before have not measured it, nor in how many episodes the goal was `reached` and in how many the controller
    `never_acted`: None.
    """

    num_controllers: int
    num_episodes: int
    seconds_limit: float | None = None
    arrived: Share
    crashed: Share
    at_fault: Share
    reached: Share | None = None
    never_acted: Share | None = None
    all_kept_crashed: Share | None = None
    rules: dict[str, DrivenRule]


class Drives(Record):
    """The simulator before and after. `num_left_out` pairs of controllers were not driven: time ran out."""

    before: Drive
    after: Drive
    num_left_out: int = 0


class Replay(Record):
    """An episode that shows a violation, or, if `seed` is None, that none of those `searched` does.

    `pending`: it does not break the rule, but left it pending at the horizon, as liveness does.
    """

    seed: int | None
    gif: str | None = None
    pending: bool = False
    searched: int


class Violation(Record):
    """An answer that breaks a rule. `num_answers` is how many do."""

    when: When
    task: str
    wording: str
    text: str
    verdict: Verdict
    rule: str
    num_answers: int | None = None
    replay: Replay | None = None


class Finding(Record):
    """An answer that breaks a rule, and how. `sample` counts the answers to one prompt (task, wording) from 0."""

    when: When
    split: Split
    wording: str
    sample: int
    witness: str


class TaskRule(Record):
    """A rule on the answers to a task that it applies to, in the held-out `splits`: how many have each status.

    `finding` is an answer that violates it, one from after training if there is one.
    """

    task: str
    rule: str
    splits: tuple[Split, ...]
    before: dict[str, int]
    after: dict[str, int]
    finding: Finding | None = None


class AnswerRecord(Record):
    """A response and its verdict."""

    text: str
    verdict: Verdict


class Example(Record):
    """The answers to one prompt before and after training."""

    task: str
    wording: str
    before: AnswerRecord
    after: AnswerRecord


class Alarm(Record):
    """Something that went wrong in a run, if it is raised."""

    name: str
    message: str
    raised: bool


class Round(Record):
    """One round of sampling and training; the adapter of a round that did not improve was not kept."""

    round: int
    pairs: int
    validation: Mean
    kept: bool


class Constrained(Record):
    """Shares of answers that can be read: sampled freely, and under the grammar of steps."""

    free: Share
    constrained: Share


class Evaluation(Record):
    """All that was measured in a run. `rejected`: its adapter is not better than the base model, so none was kept."""

    splits: Splits = Field(min_length=1)
    baselines: dict[str, Baseline] = Field(default_factory=dict)
    memorised: dict[str, Memorised] = Field(default_factory=dict)
    training_tokens: int | None = None
    drive: Drives | None = None
    violations: tuple[Violation, ...] = ()
    examples: tuple[Example, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    rounds: tuple[Round, ...] = ()
    rejected: bool = False
    constrained: Constrained | None = None
    task_rules: tuple[TaskRule, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Raise ValueError unless memorised answers speak of as many prompts as those they are compared with."""
        for name, found in self.memorised.items():
            for split, baseline in found.splits.items():
                sizes = len(baseline.compliance.sizes)
                if split in self.splits and sizes != len(self.splits[split].after.compliance.sizes):
                    raise ValueError(f"memorised.{name}.splits.{split}: expected the prompts of the split, got {sizes}")
        return self
