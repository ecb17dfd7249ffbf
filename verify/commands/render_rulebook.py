"""What was found about a rulebook, for a terminal."""

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ...specs.waiver import Waiver
from ..checking.check import Runs
from ..rulebooks.lint import RulebookLint, WorldLint
from ..rulebooks.reach import Reach
from ..rulebooks.rule_lint import RuleLint

_RUNS = {Runs.CHAIN: "almost all", Runs.FAIR: "all fair", Runs.ALL: "all"}


def render_rules(found: RulebookLint) -> Table:
    """Return what each rule of a book is by itself."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("rule", "class", "formula", "remarks"):
        table.add_column(column, overflow="fold")
    waivers = {waiver.rule: waiver for waiver in found.waivers}
    for rule in found.rules:
        remarks = _remarks(rule, waivers.get(rule.rule_id))
        table.add_row(rule.rule_id, rule.manna_pnueli_class, Text(rule.formula), remarks)
    return table


def _remarks(rule: RuleLint, waiver: Waiver | None) -> Text:
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
    if rule.worlds:
        remarks.append(f"binds in {', '.join(rule.worlds)} only. ")
    if rule.weight != 1:
        remarks.append(f"weight {rule.weight:g}. ")
    remarks.append(f"{rule.problem} " if rule.problem and waiver else rule.problem, style="yellow")
    remarks.append(str(waiver or ""), style="yellow")
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
        "abstract",
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
            parts += [
                Text(f"{reach.goal or 'no gates'}, {_RUNS[reach.runs]} runs:"),
                Padding(reach.controller, (0, 0, 1, 2)),
            ]
    return Group(*parts)


def _reach_row(reach: Reach, num_rules: int) -> tuple[RenderableType, ...]:
    gates, runs = reach.goal or "none", _RUNS[reach.runs]
    if reach.realizable is None:
        return gates, runs, Text(f"unknown: {reach.problem}", style="yellow")
    is_main = reach.runs is Runs.CHAIN
    clash = f": {', '.join(reach.clash)} clash" if reach.clash else ""
    no = Text(f"no{clash}", style="bold red" if is_main else "yellow")
    verdict = Text("yes", style="green") if reach.realizable else no
    if reach.problem:
        return gates, runs, verdict, Text(f"unknown: {reach.problem}", style="yellow")
    if reach.best_count is None:
        return gates, runs, no, Text("the gates alone are out of reach", style="bold red")
    size = "1 state" if reach.num_states == 1 else f"{reach.num_states} states"
    best, dropped = f"{reach.best_count} of {num_rules}", ", ".join(reach.dropped) or "-"
    return gates, runs, verdict, best, dropped, size, reach.abstract or "-", reach.simulated or "-"
