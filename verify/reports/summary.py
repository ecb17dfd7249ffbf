"""The report for a terminal: the verdict, the splits, what is still broken."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..records.evaluation import Mean, Share
from . import comparison, findings
from .comparison import Cell
from .findings import Change
from .report import Report

_MARKS = {
    Change.BETTER: ("▲ better", "green"),
    Change.WORSE: ("▼ worse", "bold red"),
    Change.SAME: ("=", "dim"),
    Change.TOO_FEW: ("too few", "dim"),
}
MAX_BROKEN = 6


def render_summary(report: Report) -> RenderableType:
    """Return a report in short."""
    run = report.run
    parts: list[RenderableType] = [
        Text(f"\n{run.config.task} under the rulebook {report.rulebook.name}", style="bold"),
        Text(findings.sentence(run)),
        *(Text(f"! {caveat}", style="yellow") for caveat in findings.caveats(run)),
        _measures(report),
    ]
    if (ceiling := report.ceiling) and (best := ceiling.best):
        most = f"{best} of {ceiling.num_rules} ({best / ceiling.num_rules:.0%})"
        parts.append(Text(f"no controller can keep more than {most}; one that never acts keeps {ceiling.idle}\n"))
    if broken := _broken(report):
        parts.append(broken)
    if run.evaluation.baselines:
        parts.append(_baselines(report))
    parts += [Text(row.sentence) for row in comparison.memorised(run.evaluation, run.config.mode)]
    return Group(*parts, Text(f"report: {run.files.report_html}"))


def _measures(report: Report) -> Table:
    table = _table("before → after")
    for split, _ in comparison.measured(report.run.evaluation):
        table.add_column(split)
    for row in comparison.measures(report.run.evaluation):
        table.add_row(row.name, *map(_cell, row.cells))
    return table


def _broken(report: Report) -> Table | None:
    """Return the rules that are broken most often on the split that asks most, None if none is."""
    split = findings.hardest_split(report.run)
    broken = findings.broken_rules(report.run.evaluation.splits[split])
    table = _table(f"still broken ({split})")
    table.add_column("kept, before → after")
    table.add_column("", overflow="fold")
    rows = {row.name: row for row in comparison.rules(report.run.evaluation, report.rulebook)}
    position = [name for name, _ in comparison.measured(report.run.evaluation)].index(split)
    for name in broken[:MAX_BROKEN]:
        if name in rows:
            row = rows[name]
            words = f"{row.words} ({row.waiver})" if row.waiver else row.words
            table.add_row(name, _cell(row.cells[position]), words)
    if len(broken) > MAX_BROKEN:
        table.add_row("", f"and {len(broken) - MAX_BROKEN} more rules")
    return table if broken else None


def _baselines(report: Report) -> Table:
    table = _table("way")
    mode = report.run.config.mode
    for column in (findings.quality_name(mode), "all kept", "tokens"):
        table.add_column(column, justify="right")
    for name, baseline, quality, _ in comparison.baselines(report.run.evaluation.baselines, mode):
        table.add_row(name, _value(quality), _value(baseline.all_kept), f"{baseline.num_tokens:,}")
    return table


def _cell(cell: Cell) -> Text:
    if cell.before is None or cell.after is None:
        return Text(cell.note, style="dim")
    mark, style = _MARKS.get(cell.change, ("", ""))
    return Text.assemble(f"{_value(cell.before)} → {_value(cell.after)} ", (mark, style))


def _value(share: Share | Mean) -> str:
    return f"{share.value:.1%}" if share.num_counted else "none"


def _table(first: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    return table
