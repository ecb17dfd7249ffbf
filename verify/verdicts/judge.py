"""Judging: which rules a controller keeps in a prepared world and which gates it passes, with witnesses."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

from ...specs.logic import Automaton, Formula
from ...specs.processes.deadline import Deadline
from ...specs.processes.forked import Unanswered
from ...synth.controllers.controller import Controller
from ..checking.check import FindCounterexample, Runs, find_violation
from ..checking.compiled import CompiledFormula, Compiler
from ..checking.ending import find_broken_rule, find_missed_goal
from ..records.verdict import GateVerdict, RuleVerdict, Status, Witness
from .prepared_world import PreparedRule, PreparedWorld, Product
from .settings import Gates, Settings
from .witness import tell

FindViolation = Callable[[Automaton], FindCounterexample | None]
"""Looks in a behaviour for a run that violates a formula; None if there is none."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The verdicts on all rules of a book and on all gates that are model-checked."""

    rules: tuple[RuleVerdict, ...]
    gates: tuple[GateVerdict, ...]

    @classmethod
    def alike(cls, prepared: PreparedWorld, gates: Gates, status: Status, reason: str = "") -> Self:
        """Return the same status for all of them."""
        return cls(
            tuple(_rule_verdict(rule, status, reason=reason) for rule in prepared.rules),
            tuple(_gate_verdict(name, gate, status, reason) for name, gate in gates),
        )


def judge(
    controller: Controller,
    prepared: PreparedWorld,
    gates: Gates,
    compiler: Compiler,
    settings: Settings,
    deadline: Deadline,
) -> Findings:
    """Return what is found of a controller in a world; what the deadline leaves is unknown."""
    try:
        product = prepared.product(controller, settings.runs, deadline)
    except Unanswered as error:
        return Findings.alike(prepared, gates, Status.UNKNOWN, str(error))
    judging = _Judging(controller, product, compiler, settings, deadline)
    rules = tuple(judging.rule(rule) for rule in prepared.rules)
    return Findings(rules, tuple(judging.gate(name, gate) for name, gate in gates))


@dataclass(frozen=True, slots=True)
class _Judging:
    """One controller's behaviour, of which rule after rule and gate after gate is asked until the deadline."""

    controller: Controller
    product: Product
    compiler: Compiler
    settings: Settings
    deadline: Deadline

    def rule(self, rule: PreparedRule) -> RuleVerdict:
        if rule.compiled is None:
            return _rule_verdict(rule, Status.UNKNOWN)
        if not rule.can_be_violated:
            return _rule_verdict(rule, Status.SATISFIED)
        try:
            status, violation = self._check(partial(self._broken, rule.compiled, self.settings.runs))
        except Unanswered as error:
            return _rule_verdict(rule, Status.UNKNOWN, reason=str(error))
        if violation is None:
            return self._kept(rule, status)
        witness, reason = self._tell(violation)
        return _rule_verdict(rule, status, witness=witness, reason=reason)

    def gate(self, name: str, gate: Formula) -> GateVerdict:
        try:
            status, violation = self._check(self._missed(gate))
        except Unanswered as error:
            return _gate_verdict(name, gate, Status.UNKNOWN, str(error))
        witness, reason = self._tell(violation)
        return _gate_verdict(name, gate, status, reason, witness)

    def _kept(self, rule: PreparedRule, status: Status) -> RuleVerdict:
        """Return the verdict on a rule that no run seen breaks, with whether its trigger matters."""
        behaviour = self.product.behaviour
        runs = Runs.FAIR if self.settings.runs is Runs.FAIR else Runs.ALL
        try:
            vacuous = None if rule.untriggered is None else self._broken(rule.untriggered, runs, behaviour) is None
            unconditional = None
            if rule.demand is not None and not vacuous:
                unconditional = self._broken(rule.demand, self.settings.runs, behaviour) is None
        except Unanswered as error:
            return _rule_verdict(rule, status, reason=f"whether its trigger matters was not found out: {error}")
        return _rule_verdict(rule, status, vacuous=vacuous, unconditional=unconditional)

    def _broken(self, rule: CompiledFormula, runs: Runs, behaviour: Automaton) -> FindCounterexample | None:
        find = find_broken_rule if self.product.ends else find_violation
        return find(behaviour, rule, runs, self.deadline)

    def _missed(self, gate: Formula) -> FindViolation:
        """Return what looks for a run that misses a gate; a run that ends must have passed it by then."""
        compiled = self.compiler.compile(gate, self.deadline)
        if not self.product.ends:
            return partial(self._broken, compiled, self.settings.runs)
        finite = self.compiler.compile_finite(gate, is_strong=True)
        return lambda behaviour: find_missed_goal(behaviour, compiled, finite, self.settings.runs, self.deadline)

    def _check(self, find: FindViolation) -> tuple[Status, FindCounterexample | None]:
        """Return the status of what is looked for, and how to find a run that violates it in what was seen."""
        violation = find(self.product.behaviour)
        if violation is not None:
            return Status.VIOLATED, violation
        if self.product.closure is not None and find(self.product.closure):
            return Status.OBSERVED, None
        return Status.SATISFIED, None

    def _tell(self, violation: FindCounterexample | None) -> tuple[Witness | None, str]:
        """Return the witness of a violation if one is asked for, and why there is none if it took too long."""
        if violation is None or not self.settings.witnesses:
            return None, ""
        try:
            return tell(violation(), self.controller), ""
        except Unanswered as error:
            return None, f"no witness: {error}"


def _rule_verdict(
    prepared: PreparedRule,
    status: Status,
    *,
    vacuous: bool | None = None,
    unconditional: bool | None = None,
    witness: Witness | None = None,
    reason: str = "",
) -> RuleVerdict:
    return RuleVerdict(
        rule_id=prepared.rule.id,
        status=status,
        applicable=prepared.applicable,
        weight=prepared.weight,
        vacuous=vacuous,
        unconditional=unconditional,
        reason=reason or prepared.reason,
        witness=witness,
    )


def _gate_verdict(
    name: str, gate: Formula, status: Status, reason: str = "", witness: Witness | None = None
) -> GateVerdict:
    return GateVerdict(name=name, formula=gate.text, status=status, reason=reason, witness=witness)
