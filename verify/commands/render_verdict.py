"""Verdicts and probabilities for a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ...specs.domain import Domain
from ...specs.files.printable import one_line
from ...specs.rulebook import Rulebook
from ..checking.check import Runs
from ..checking.trace import TraceStatus
from ..records.timely import TimelyLine, TimelyStatus, TimelyVerdict
from ..records.verdict import GateVerdict, Mode, Moment, RuleVerdict, Status, Verdict, Witness
from ..verdicts.horizon import HorizonScores

_STYLE = {
    Status.INVALID: "bold red",
    Status.VIOLATED: "bold red",
    Status.UNKNOWN: "yellow",
    Status.OBSERVED: "green",
    Status.SATISFIED: "green",
}
_TIMELY_STYLE = {TimelyStatus.REACHED: "green", TimelyStatus.NOT_REACHED: "bold red", TimelyStatus.NO_RECORDINGS: "dim"}
_RUNS = {
    Runs.CHAIN: "almost all runs of a chain in which all that can happen has a positive probability",
    Runs.ALL: "all runs, fair or not",
    Runs.FAIR: "all runs that keep the world's fairness",
}


def render_verdict(name: str, verdict: Verdict, response: str, domain: Domain, rulebook: Rulebook) -> RenderableType:
    """Return a verdict as a table with a witness of each violation, told in the response's own steps."""
    head = Text.assemble(
        (f"{one_line(name)}\n", "bold"),
        f"task {verdict.task_id}, world {verdict.world} ({verdict.world_kind}), rulebook {verdict.rulebook}, ",
        f"{verdict.mode} mode, {verdict.ending}, otherwise {verdict.otherwise}\n",
        (f"judged on {_RUNS[Runs(verdict.runs)]}", "dim"),
        (_learned(verdict, domain), "dim"),
        *((f"\n{note}", "yellow") for note in verdict.notes),
    )
    if not verdict.valid:
        return Group(head, Text(f"INVALID: {verdict.invalid}", style="bold red"), Text())
    rules = {rule.id: rule for rule in rulebook.rules}
    parts: list[RenderableType] = [head, _rule_table(verdict, rulebook), _summary(verdict)]
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
    parts: list[RuleVerdict | GateVerdict] = [*verdict.gates, *verdict.deciding]
    for part in parts:
        if part.witness is not None:
            found.setdefault(part.witness, []).append(part)
    return found


def _title(part: RuleVerdict | GateVerdict) -> str:
    return part.rule_id if isinstance(part, RuleVerdict) else f"gate {part.name}"


def _rule_table(verdict: Verdict, rulebook: Rulebook) -> Table:
    rules = {rule.id: rule for rule in rulebook.rules}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("rule", "verdict", "weight", ""):
        table.add_column(column)
    for gate in verdict.gates:
        table.add_row(_title(gate), _status(gate), "", gate.reason or gate.formula)
    if verdict.timely:
        status = Text(verdict.timely.status.replace("_", " ").upper(), style=_TIMELY_STYLE[verdict.timely.status])
        table.add_row("gate timely", status, "", _timely(verdict.timely))
    for found in verdict.deciding:
        rule = rules[found.rule_id]
        remark = _vacuity(found)
        is_implied = rule.weight and not found.weight and verdict.mode is Mode.GATED
        remark += " (implied by another rule)" if is_implied else ""
        waiver = rulebook.waiver(rule.id)
        remark += f" ({waiver})" if waiver else ""
        weight = f"{found.weight:g}" if verdict.mode is Mode.GATED else "1"
        table.add_row(rule.id, _status(found), weight, (found.reason or rule.english) + remark)
    return table


def _timely(timely: TimelyVerdict) -> str:
    """Return what was measured, line by line; it is nothing that holds of all runs."""
    asked = f"{timely.event} within {timely.limit} s of a wait" + (f" with {timely.premise}" if timely.premise else "")
    if not timely.lines:
        return f"{asked}: none recorded"
    return "; ".join([f"{asked}, measured", *(_line(line, len(timely.lines)) for line in timely.lines)])


def _line(line: TimelyLine, num_lines: int) -> str:
    where = f"line {line.line}: " if num_lines > 1 else ""
    told = f"{where}in {line.share:.1%} of {line.windows} recorded waits"
    if line.low is not None and line.high is not None:
        told += f" ({line.low:.0%} to {line.high:.0%})"
    if line.left_out:
        told += f", {line.left_out} without the premise left out"
    if line.witness:
        told += f", not in recording {line.witness.seed} from second {line.witness.second} on"
    return told


def _vacuity(found: RuleVerdict) -> str:
    if not found.is_vacuous:
        return ""
    return " (vacuous: never triggered)" if found.vacuous else " (vacuous: kept even if always triggered)"


def _status(part: RuleVerdict | GateVerdict) -> Text:
    label = "SATISFIED, observed only" if part.status is Status.OBSERVED else part.status.name
    return Text(label, style=_STYLE[part.status])


def _summary(verdict: Verdict) -> Text:
    raw = f"raw count {verdict.raw_kept} of {len(verdict.rules)}"
    if not verdict.gates:
        return Text(raw)
    if verdict.compliance is None:
        return Text(f"compliance undefined, because no rule applies; {raw}")
    gates = "" if verdict.gates_kept else " because a gate failed"
    return Text(
        f"compliance {verdict.compliance:.0%}{gates}; applicable rules kept by weight "
        f"{verdict.kept_weight:g} of {verdict.total_weight:g}; {raw}\n"
        f"decided by {len(verdict.decided_by)} of {len(verdict.deciding)} rules; any other is kept vacuously"
    )


def _witness_table(witness: Witness, response: str, domain: Domain) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("time", "step", "what is the case", "action"):
        table.add_column(column)
    lines = [line.strip() for line in response.splitlines() if line.strip()]
    first = witness.num_before + 1
    _add_left_out(table, witness.num_before)
    _add_moments(table, witness.prefix, first, lines, domain)
    if witness.cycle:
        table.add_row("", Text("and then, over and over:", style="italic"))
        _add_moments(table, witness.cycle, first + len(witness.prefix), lines, domain)
        _add_left_out(table, witness.num_after)
    return table


def _add_left_out(table: Table, num_instants: int) -> None:
    if num_instants:
        instants = "1 more instant" if num_instants == 1 else f"{num_instants:,} more instants"
        table.add_row("", Text(f"… {instants} (all with --full-witness)", style="dim"))


def _add_moments(table: Table, moments: Sequence[Moment], first: int, lines: list[str], domain: Domain) -> None:
    english = domain.vocabulary.english
    for time, moment in enumerate(moments, start=first):
        steps = " → ".join(lines[number - 1] for number in moment.steps) or one_line(moment.state)
        case = ", ".join(english[name] for name in moment.propositions) or "nothing"
        idle = moment.action == domain.vocabulary.idle
        table.add_row(str(time), steps, case, Text(english[moment.action], style="" if idle else "bold"))


def render_scores(scores: HorizonScores, verdict: Verdict, num_seconds: int) -> RenderableType:
    """Return the probabilities of each status of each rule after so many seconds."""
    if not verdict.learned:
        return Text("no probabilities: the verdict does not rest on a learned world", style="yellow")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("rule", "kept", "pending", "violated"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    for rule in verdict.deciding:
        shares = scores.get(rule.rule_id)
        told = [f"{shares[status]:.1%}" for status in TraceStatus] if shares else ["unknown: it takes too long"]
        table.add_row(rule.rule_id, *told)
    return Group(Text(f"after {num_seconds} seconds, in the learned world:"), table)
