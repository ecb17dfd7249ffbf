"""Verdicts and lint results for a terminal."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..specs.domain import Domain
from ..specs.rulebook import Rule, Rulebook
from .check import Paths
from .lint import WorldLint
from .reach import Reach
from .rule_lint import RuleLint
from .scores import Scores
from .trace import TraceStatus
from .verdict import GateVerdict, Mode, RuleVerdict, Status, Verdict
from .witness import Moment, Witness

MAX_MOMENTS = 12
_STYLE = {
    Status.INVALID: "bold red",
    Status.VIOLATED: "bold red",
    Status.UNKNOWN: "yellow",
    Status.OBSERVED: "green",
    Status.SATISFIED: "green",
}
_PATHS = {
    Paths.CHAIN: "almost all runs of a chain in which all that can happen has a positive probability",
    Paths.ALL: "all runs, fair or not",
    Paths.FAIR: "all runs that keep the world's fairness",
}


def render_verdict(name: str, verdict: Verdict, response: str, domain: Domain, rulebook: Rulebook) -> RenderableType:
    """Return a verdict as a table with a witness of each violation, told in the response's own steps."""
    head = Text.assemble(
        (f"{name}\n", "bold"),
        f"task {verdict.task_id}, world {verdict.world} ({verdict.world_kind}), rulebook {verdict.rulebook}, ",
        f"{verdict.mode} mode, {verdict.ending}, otherwise {verdict.otherwise}\n",
        (f"judged on {_PATHS[Paths(verdict.paths)]}", "dim"),
        (_learned(verdict, domain), "dim"),
        *((f"\n{note}", "yellow") for note in verdict.notes),
    )
    if not verdict.is_valid:
        return Group(head, Text(f"INVALID: {verdict.invalid}", style="bold red"), Text())
    rules = {rule.id: rule for rule in rulebook.rules}
    parts: list[RenderableType] = [head, _rule_table(verdict, rules), _summary(verdict)]
    for witness, violated in _by_witness(verdict).items():
        for part in violated:
            meaning = rules[part.rule_id].english if isinstance(part, RuleVerdict) else part.formula
            parts.append(
                Text.assemble(
                    ("\n" if part is violated[0] else ""), (_title(part), "bold red"), f" is violated: {meaning}"
                )
            )
        parts.append(Padding(_witness_table(witness, response, domain), (0, 0, 0, 2)))
    return Group(*parts, Text())


def _learned(verdict: Verdict, domain: Domain) -> str:
    if not verdict.learned:
        return ""
    english = domain.vocabulary.english
    learned, free = (", ".join(english[name] for name in names) for names in (verdict.learned, verdict.free))
    return f"\nlearned from the simulator: {learned}; free to change at any time: {free or 'nothing else'}"


def _by_witness(verdict: Verdict) -> dict[Witness, list[RuleVerdict | GateVerdict]]:
    """Return what is violated by its witness: one course of events often breaks several rules."""
    found: dict[Witness, list[RuleVerdict | GateVerdict]] = {}
    parts: list[RuleVerdict | GateVerdict] = [*verdict.gates, *verdict.judged]
    for part in parts:
        if part.witness is not None:
            found.setdefault(part.witness, []).append(part)
    return found


def _title(part: RuleVerdict | GateVerdict) -> str:
    return part.rule_id if isinstance(part, RuleVerdict) else f"gate {part.name}"


def _rule_table(verdict: Verdict, rules: Mapping[str, Rule]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("rule", "verdict", "weight", ""):
        table.add_column(column)
    for gate in verdict.gates:
        table.add_row(_title(gate), _status(gate), "", gate.reason or gate.formula)
    for found in verdict.judged:
        rule = rules[found.rule_id]
        remark = " (vacuous: never triggered)" if found.vacuous else ""
        is_implied = rule.weight and not found.weight and verdict.mode is Mode.GATED
        remark += " (implied by another rule)" if is_implied else ""
        weight = f"{found.weight:g}" if verdict.mode is Mode.GATED else "1"
        table.add_row(rule.id, _status(found), weight, (found.reason or rule.english) + remark)
    return table


def _status(part: RuleVerdict | GateVerdict) -> Text:
    label = "SATISFIED, observed only" if part.status is Status.OBSERVED else part.status.name
    return Text(label, style=_STYLE[part.status])


def _summary(verdict: Verdict) -> Text:
    raw = f"raw count {verdict.raw_kept} of {len(verdict.rules)}"
    if not verdict.gates:
        return Text(raw)
    gates = "" if verdict.gates_kept else " because a gate failed"
    return Text(
        f"compliance {verdict.compliance:.0%}{gates}; applicable rules kept by weight "
        f"{verdict.kept_weight:g} of {verdict.total_weight:g}; {raw}"
    )


def _witness_table(witness: Witness, response: str, domain: Domain) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("time", "step", "what is the case", "action"):
        table.add_column(column)
    lines = [line.strip() for line in response.splitlines() if line.strip()]
    _add_moments(table, witness.prefix, 1, lines, domain)
    if witness.cycle:
        table.add_row("", Text("and then, over and over:", style="italic"))
        _add_moments(table, witness.cycle, len(witness.prefix) + 1, lines, domain)
    return table


def _add_moments(table: Table, moments: Sequence[Moment], first: int, lines: list[str], domain: Domain) -> None:
    english = domain.vocabulary.english
    for time, moment in enumerate(moments[:MAX_MOMENTS], start=first):
        steps = " → ".join(lines[number - 1] for number in moment.steps) or moment.state
        case = ", ".join(english[name] for name in moment.propositions) or "nothing"
        idle = moment.action == domain.vocabulary.idle
        table.add_row(str(time), steps, case, Text(english[moment.action], style="" if idle else "bold"))
    if len(moments) > MAX_MOMENTS:
        table.add_row("", Text(f"… {len(moments) - MAX_MOMENTS} more instants (all with --json)", style="dim"))


def render_scores(scores: Scores, num_seconds: int) -> RenderableType:
    """Return the probabilities of each status of each rule after so many seconds."""
    if not scores:
        return Text("no probabilities: the verdict does not rest on a learned world", style="yellow")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("rule", "kept", "pending", "violated"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    for rule_id, shares in scores.items():
        table.add_row(rule_id, *(f"{shares[status]:.1%}" for status in TraceStatus))
    return Group(Text(f"after {num_seconds} seconds, in the learned world:"), table)


def render_rules(rules: Sequence[RuleLint]) -> Table:
    """Return what each rule of a book is by itself."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("rule", "class", "formula", "remarks"):
        table.add_column(column, overflow="fold")
    for rule in rules:
        table.add_row(rule.rule_id, rule.manna_pnueli_class, Text(rule.formula), _remarks(rule))
    return table


def _remarks(rule: RuleLint) -> Text:
    remarks = Text()
    if rule.unsatisfiable:
        remarks.append("cannot be kept at all. ", style="bold red")
    if rule.valid:
        remarks.append("cannot be broken: exactly one action is given at a time. ", style="yellow")
    if rule.implied_by:
        remarks.append(f"implied by {' or '.join(rule.implied_by)}. ")
    if rule.implied_jointly_by:
        remarks.append(f"implied by {' and '.join(rule.implied_jointly_by)} together. ")
    if rule.presumes:
        remarks.append(f"presumes {', '.join(rule.presumes)}. ")
    if rule.weight != 1:
        remarks.append(f"weight {rule.weight:g}. ")
    remarks.append(rule.problem, style="yellow")
    return remarks


def render_world(world: WorldLint, num_rules: int, *, controllers: bool) -> RenderableType:
    """Return what controllers can reach in a world, with the controllers themselves if asked for."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in (
        "gates",
        "runs",
        "all applicable rules",
        "best raw count",
        "broken then",
        "reference controller",
        "simulated",
    ):
        table.add_column(column)
    for reach in world.reaches:
        table.add_row(*_reach_row(reach, num_rules))
    title = Text.assemble(
        (world.world, "bold"), f": {len(world.applicable)} rules apply: {', '.join(world.applicable)}"
    )
    if world.implied:
        title.append(f"; implied, so without weight: {', '.join(world.implied)}")
    parts: list[RenderableType] = [title, table]
    for reach in world.reaches if controllers else ():
        if reach.controller is not None:
            parts += [Text(f"{reach.goal or 'no gates'}, {reach.paths} runs:"), Padding(reach.controller, (0, 0, 1, 2))]
    return Group(*parts)


def _reach_row(reach: Reach, num_rules: int) -> tuple[RenderableType, ...]:
    gates = reach.goal or "none"
    if reach.problem:
        return gates, reach.paths, Text(f"unknown: {reach.problem}", style="yellow")
    if reach.best_count is None:
        return (
            gates,
            reach.paths,
            Text("no", style="bold red"),
            Text("the gates alone are out of reach", style="bold red"),
        )
    fair = reach.paths is Paths.FAIR
    verdict = Text("yes", style="green") if reach.realizable else Text("no", style="bold red" if fair else "yellow")
    size = "1 state" if reach.num_states == 1 else f"{reach.num_states} states"
    best = f"{reach.best_count} of {num_rules}"
    return gates, reach.paths, verdict, best, ", ".join(reach.dropped) or "-", size, reach.simulated or "-"


def console() -> Console:
    """Return a console that prints data as it is; output to a file or a pipe is wide enough for the tables."""
    plain = Console(markup=False, emoji=False, highlight=False)
    return plain if plain.is_terminal else Console(markup=False, emoji=False, highlight=False, width=160)
