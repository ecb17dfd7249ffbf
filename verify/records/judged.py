"""Verdicts as they stand in files (docs/verdict.schema.json)."""

from typing import Literal

from ...specs.files.record import Record

StatusName = Literal["invalid", "violated", "unknown", "observed", "satisfied"]


class JudgedMoment(Record):
    """One instant of a witness."""

    propositions: tuple[str, ...]
    state: str
    steps: tuple[int, ...]
    action: str


class JudgedRun(Record):
    """A witness: a finite path, or a path and a cycle."""

    prefix: tuple[JudgedMoment, ...]
    cycle: tuple[JudgedMoment, ...] = ()


class JudgedRule(Record):
    """What was found about one rule."""

    rule_id: str
    status: StatusName
    applicable: bool
    weight: float
    vacuous: bool | None = None
    reason: str = ""
    witness: JudgedRun | None = None


class JudgedGate(Record):
    """What was found about one gate."""

    name: str
    formula: str
    status: StatusName
    reason: str = ""
    witness: JudgedRun | None = None


class Judgement(Record):
    """A verdict on one answer."""

    task_id: str
    world: str
    world_kind: str
    mode: Literal["gated", "paper"]
    valid: bool
    gates_kept: bool
    all_kept: bool
    compliance: float
    raw_kept: int
    raw_total: int
    num_steps: int
    invalid: str
    rules: tuple[JudgedRule, ...]
    gates: tuple[JudgedGate, ...]

    @property
    def judged(self) -> tuple[JudgedRule, ...]:
        """The rules that decide: the applicable ones, in paper mode all."""
        return self.rules if self.mode == "paper" else tuple(rule for rule in self.rules if rule.applicable)
