"""Verdicts: what was found about one controller, and the numbers that rank it."""

from dataclasses import asdict, dataclass
from enum import IntEnum, StrEnum
from typing import Any


class Status(IntEnum):
    """Outcome for one rule or gate, worst first. OBSERVED: kept on all that was seen, not on all that is possible."""

    INVALID = 0
    VIOLATED = 1
    UNKNOWN = 2
    OBSERVED = 3
    SATISFIED = 4

    @property
    def is_kept(self) -> bool:
        return self >= Status.OBSERVED


class Mode(StrEnum):
    """How controllers are scored: by gates and applicable rules, or by the paper's raw count of all rules."""

    GATED = "gated"
    PAPER = "paper"


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant: what is the case, where the controller is, the steps it goes through and the action it gives."""

    propositions: tuple[str, ...]
    state: str
    steps: tuple[int, ...]
    action: str

    @property
    def letter(self) -> frozenset[str]:
        """The propositions that are true, the action among them."""
        return frozenset((*self.propositions, self.action))


@dataclass(frozen=True, slots=True)
class Witness:
    """A finite path (`cycle` is empty): whatever follows, the rule is broken. Or a path and a cycle taken for ever."""

    prefix: tuple[Moment, ...]
    cycle: tuple[Moment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleVerdict:
    """One rule. `weight` is what it counts in compliance here: 0 if not applicable or implied by an applicable rule.

    `vacuous` says that the controller keeps it because what would trigger it never happens (None: it has no trigger).
    """

    rule_id: str
    status: Status
    applicable: bool
    weight: float
    vacuous: bool | None = None
    reason: str = ""
    witness: Witness | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """One gate: the task's goal, or progress."""

    name: str
    formula: str
    status: Status
    reason: str = ""
    witness: Witness | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All that was found about a controller. `invalid` is the reason why a response is no controller, else empty."""

    task_id: str
    world: str
    world_kind: str
    learned: tuple[str, ...]
    free: tuple[str, ...]
    notes: tuple[str, ...]
    rulebook: str
    rulebook_digest: str
    mode: Mode
    runs: str
    ending: str
    otherwise: str
    num_steps: int
    invalid: str
    rules: tuple[RuleVerdict, ...]
    gates: tuple[GateVerdict, ...]

    @property
    def is_valid(self) -> bool:
        return not self.invalid

    @property
    def gates_kept(self) -> bool:
        return self.is_valid and all(gate.status.is_kept for gate in self.gates)

    @property
    def kept_weight(self) -> float:
        return sum(rule.weight for rule in self.rules if rule.status.is_kept)

    @property
    def total_weight(self) -> float:
        return sum(rule.weight for rule in self.rules)

    @property
    def compliance(self) -> float:
        """Weighted share of the applicable rules that are kept; 0 for an invalid controller or a failed gate."""
        if not self.gates_kept:
            return 0.0
        return self.kept_weight / self.total_weight if self.total_weight else float(self.all_kept)

    @property
    def raw_kept(self) -> int:
        """How many of all rules are kept, applicable or not."""
        return sum(rule.status.is_kept for rule in self.rules)

    @property
    def judged(self) -> tuple[RuleVerdict, ...]:
        """The rules that decide: the applicable ones, in paper mode all."""
        return self.rules if self.mode is Mode.PAPER else tuple(rule for rule in self.rules if rule.applicable)

    @property
    def all_kept(self) -> bool:
        """Whether all rules that decide and all gates are kept."""
        return self.gates_kept and all(rule.status.is_kept for rule in self.judged)

    @property
    def rank(self) -> tuple[float, ...]:
        """Sort key, better is greater: valid, gates, weighted rules kept, fewer steps; in paper mode the raw count."""
        if self.mode is Mode.PAPER:
            return (self.is_valid, self.raw_kept)
        return (self.is_valid, self.gates_kept, self.kept_weight, -self.num_steps)

    def exit_code(self, *, strict: bool = False) -> int:
        """Return 0 if all is kept, 1 if not, 2 if invalid; with `strict`, kept by observation only is not kept."""
        if not self.is_valid:
            return 2
        statuses = [rule.status for rule in self.judged] + [gate.status for gate in self.gates]
        least = Status.SATISFIED if strict else Status.OBSERVED
        return int(any(status < least for status in statuses))

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as the JSON object that docs/verdict.schema.json describes."""
        summary = {
            "valid": self.is_valid,
            "gates_kept": self.gates_kept,
            "all_kept": self.all_kept,
            "compliance": self.compliance,
            "raw_kept": self.raw_kept,
            "raw_total": len(self.rules),
            "rank": [float(part) for part in self.rank],
        }
        return {**summary, **asdict(self, dict_factory=_json_object)}


def _json_object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value.name.lower() if isinstance(value, Status) else value for name, value in fields}
