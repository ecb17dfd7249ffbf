"""Evaluations of a run (`eval.json`): what was counted before and after training, with intervals of 95 %."""

from typing import Literal, Self

from pydantic import Field

from ...specs.files.record import Record
from ...specs.task import Split
from .interval import clopper_pearson
from .verdict import Verdict

When = Literal["before", "after"]


class Share(Record):
    """A share that was counted; its interval is exact (Clopper and Pearson)."""

    count: int = Field(ge=0)
    of: int = Field(ge=0)
    share: float
    low: float
    high: float

    @classmethod
    def counted(cls, count: int, of: int) -> Self:
        """Return the share of a count; of nothing it is 0, from 0 to 1."""
        low, high = clopper_pearson(count, of) if of else (0.0, 1.0)
        return cls(count=count, of=of, share=count / of if of else 0.0, low=low, high=high)

    @property
    def value(self) -> float:
        return self.share

    @property
    def num_counted(self) -> int:
        return self.of


class Mean(Record):
    """A mean over answers; its interval is a bootstrap over prompts."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def value(self) -> float:
        return self.mean

    @property
    def num_counted(self) -> int:
        return self.n


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
    """What the answers to the prompts of one split are worth."""

    num_responses: int
    num_prompts: int
    num_tokens: int
    compliance: Mean
    raw_share: Mean
    gate_rate: Share
    all_kept: Share
    invalid: Share
    vacuous: Share
    always_stop: Share
    distinct_machines: int
    effective_machines: float
    mean_steps: float
    observed_only: Share
    rules: dict[str, RuleScore]
    tasks: dict[str, Mean] = Field(default_factory=dict)


class BeforeAfter(Record):
    """Scores of the base model, and of the base model with the adapter."""

    before: Score
    after: Score


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


class DrivenRule(Record):
    """In how many episodes a rule was kept, pending at the end, or violated."""

    kept: int
    pending: int
    violated: int
    share_violated: Share


class Drive(Record):
    """Controllers at work in the simulator."""

    num_controllers: int
    num_episodes: int
    seconds_limit: float | None = None
    arrived: Share
    crashed: Share
    at_fault: Share
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
    training_tokens: int | None = None
    drive: Drives | None = None
    violations: tuple[Violation, ...] = ()
    examples: tuple[Example, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    rounds: tuple[Round, ...] = ()
    rejected: bool = False
    constrained: Constrained | None = None
