"""Verdicts: what was found about one controller, and the numbers that rank it (docs/verdict.schema.json)."""

from collections.abc import Collection
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import BeforeValidator, PlainSerializer, SerializerFunctionWrapHandler, model_serializer

from ...specs.domain import DEFAULT_RULEBOOK, PAPER_RULEBOOK
from ...specs.files.record import Record
from .timely import TimelyVerdict

Quality_co = TypeVar("Quality_co", covariant=True)


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

    @property
    def word(self) -> str:
        """The status as files have it."""
        return self.name.lower()


_BY_WORD = {status.word: status for status in Status}


def _status(word: object) -> object:
    if isinstance(word, str) and word not in _BY_WORD:
        raise ValueError(f"got {word!r}, expected one of {', '.join(_BY_WORD)}")
    return _BY_WORD[word] if isinstance(word, str) else word


FiledStatus = Annotated[
    Status, BeforeValidator(_status), PlainSerializer(lambda status: status.word, return_type=str, when_used="json")
]
"""A status that is a word in files."""


class HasQualities(Protocol[Quality_co]):
    """What can be measured in both modes: an answer, or a set of them."""

    @property
    def compliance(self) -> Quality_co: ...
    @property
    def raw_share(self) -> Quality_co: ...


Quality = TypeVar("Quality")


class Mode(StrEnum):
    """How controllers are scored: by gates and applicable rules, or by the paper's raw count of all rules."""

    GATED = "gated"
    PAPER = "paper"

    def quality(self, measured: HasQualities[Quality]) -> Quality:
        """Return what answers are trained for: compliance, in paper mode the raw share of all rules."""
        return measured.raw_share if self is Mode.PAPER else measured.compliance

    def rulebook(self, names: Collection[str]) -> str:
        """Return the book to judge by where none is named: paper mode takes the paper's own if a domain has it."""
        return PAPER_RULEBOOK if self is Mode.PAPER and PAPER_RULEBOOK in names else DEFAULT_RULEBOOK


class Moment(Record):
    """One instant: what is the case, where the controller is, the steps it goes through and the action it gives."""

    propositions: tuple[str, ...]
    state: str
    steps: tuple[int, ...]
    action: str

    @property
    def letter(self) -> frozenset[str]:
        """The propositions that are true, the action among them."""
        return frozenset((*self.propositions, self.action))


class Witness(Record):
    """A finite path (`cycle` is empty): whatever follows, the rule is broken. Or a path and a cycle taken for ever.

    Of a long one the first `num_before` instants of the path and the last `num_after` of the cycle are left out.
    """

    prefix: tuple[Moment, ...]
    cycle: tuple[Moment, ...] = ()
    num_before: int = 0
    num_after: int = 0


class RuleVerdict(Record):
    """One rule. `weight` is what it counts in compliance here: 0 if not applicable or implied by an applicable rule.

    `vacuous` says that the controller keeps it because what would trigger it never happens (None: it has no trigger),
    `unconditional` that it would keep it if it were triggered always (None: not asked, because nothing triggers it).
    """

    rule_id: str
    status: FiledStatus
    applicable: bool
    weight: float
    vacuous: bool | None = None
    unconditional: bool | None = None
    reason: str = ""
    witness: Witness | None = None

    @property
    def is_vacuous(self) -> bool:
        """Whether it is kept whatever its trigger says, from either side."""
        return self.status.is_kept and bool(self.vacuous or self.unconditional)


class GateVerdict(Record):
    """One gate: the task's goal, or progress."""

    name: str
    formula: str
    status: FiledStatus
    reason: str = ""
    witness: Witness | None = None


SUMMARY = ("valid", "gates_kept", "all_kept", "compliance", "raw_kept", "raw_total", "decided_by")
"""What follows from the rest of a verdict, and stands in files for those who read nothing else."""


class Verdict(Record):
    """All that was found about a controller. `invalid` is the reason why a response is no controller, else empty.

    `timely` is None where recorded waits are not replayed: of no controller, in paper mode and outside of simulated
    worlds.
    """

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
    timely: TimelyVerdict | None = None

    @property
    def valid(self) -> bool:
        """Whether it is a controller at all."""
        return not self.invalid

    @property
    def gates_kept(self) -> bool:
        """Whether it is a controller that keeps all gates, the timely one too."""
        return self.valid and all(gate.status.is_kept for gate in self.gates) and self.is_timely

    @property
    def is_timely(self) -> bool:
        """Whether no recorded waits say that what the task asks for comes too late."""
        return self.timely is None or self.timely.status.is_kept

    @property
    def timely_share(self) -> float | None:
        """The share of recorded waits in which the task's event begins in time; None where none are replayed."""
        return self.timely.share if self.timely else None

    @property
    def kept_weight(self) -> float:
        return sum(rule.weight for rule in self.rules if rule.status.is_kept)

    @property
    def total_weight(self) -> float:
        return sum(rule.weight for rule in self.rules)

    @property
    def is_judged(self) -> bool:
        """Whether any rule decides. Of a book of which none applies to the task's world nothing follows."""
        return bool(self.deciding)

    @property
    def compliance(self) -> float | None:
        """Weighted share of the applicable rules that are kept; 0 for an invalid controller or a failed gate.

        None where no rule applies.
        """
        if not self.is_judged:
            return None
        if not self.gates_kept:
            return 0.0
        return self.kept_weight / self.total_weight if self.total_weight else float(self.all_kept)

    @property
    def raw_kept(self) -> int:
        """How many of all rules are kept, applicable or not."""
        return sum(rule.status.is_kept for rule in self.rules)

    @property
    def raw_total(self) -> int:
        """How many rules there are."""
        return len(self.rules)

    @property
    def raw_share(self) -> float:
        """The share of all rules that are kept, whether they apply or not."""
        return self.raw_kept / self.raw_total

    @property
    def quality(self) -> float | None:
        """What answers are trained for in this verdict's mode; None where no rule decides."""
        return self.mode.quality(self)

    @property
    def deciding(self) -> tuple[RuleVerdict, ...]:
        """The rules that decide: the applicable ones, in paper mode all."""
        return self.rules if self.mode is Mode.PAPER else tuple(rule for rule in self.rules if rule.applicable)

    @property
    def all_kept(self) -> bool:
        """Whether all rules that decide, at least one, and all gates are kept."""
        return self.gates_kept and self.is_judged and all(rule.status.is_kept for rule in self.deciding)

    @property
    def rank(self) -> tuple[float, ...]:
        """Sort key, better is greater: valid, gates, weighted rules kept, timely share, fewer steps.

        The share counts in tenths, and no more than the reference's. In paper mode the raw count. All are alike where
        no rule decides.
        """
        if not self.is_judged:
            return (0.0,) * 5
        if self.mode is Mode.PAPER:
            return (float(self.valid), float(self.raw_kept))
        tenths = self.timely.tenths if self.timely else 0
        kept = (self.valid, self.gates_kept, self.kept_weight, tenths, -self.num_steps)
        return tuple(map(float, kept))

    @property
    def observed_only(self) -> bool:
        """Whether all is kept, but some rule that decides only on what was seen."""
        return self.all_kept and any(rule.status is Status.OBSERVED for rule in self.deciding)

    @property
    def vacuous(self) -> tuple[str, ...]:
        """The rules that decide and are kept whatever their triggers say, from either side."""
        return tuple(rule.rule_id for rule in self.deciding if rule.is_vacuous)

    @property
    def decided_by(self) -> tuple[str, ...]:
        """The rules that told this controller from others: not kept, or kept and not vacuously. Never ranked."""
        return tuple(rule.rule_id for rule in self.deciding if not rule.is_vacuous)

    @property
    def decided_share(self) -> float:
        """The share of the rules that decide by which it was decided; 0 if there are none."""
        return len(self.decided_by) / len(self.deciding) if self.deciding else 0.0

    def exit_code(self, *, strict: bool = False) -> int:
        """Return 0 if all is kept, 1 if not, 2 if invalid or if no rule decides.

        With `strict`, kept by observation only is not kept.
        """
        if not self.valid or not self.is_judged:
            return 2
        statuses = [rule.status for rule in self.deciding] + [gate.status for gate in self.gates]
        least = Status.SATISFIED if strict else Status.OBSERVED
        return int(any(status < least for status in statuses) or not self.is_timely)

    @model_serializer(mode="wrap")
    def _with_summary(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        summary = {name: getattr(self, name) for name in SUMMARY}
        return {**summary, "rank": list(self.rank), **fields(self)}

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as the JSON object that docs/verdict.schema.json describes."""
        return self.model_dump(mode="json")
