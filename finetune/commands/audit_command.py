"""What `verilora drive --run` does: the full audit of a run in the simulator, without the time limit of training."""

from math import inf
from pathlib import Path

from rich import box
from rich.console import RenderableType
from rich.table import Table

from ...specs.files.atomic import write_json
from ...specs.files.errors import InputError
from ...specs.files.printable import complain
from ...verify.commands.terminal import INTERRUPTED, console, progress
from ...verify.records.evaluation import Drives
from ...verify.records.run import Run, domain_of, read_run
from ...verify.records.run_files import RunFiles
from ...verify.reports.findings import Change, change, percent
from ...verify.reports.report import check_domain
from ...verify.verdicts.verifier import Verifier
from ..answers.samples import read_samples
from ..answers.scored_answer import scored
from ..answers.verdict_cache import VerdictCache
from ..evaluation.drive import drive, drive_score, drivers
from ..run.config_file import read_settings


def audit_run(path: Path, specs: Path | None, num_episodes: int, num_processes: int) -> int:
    """Drive a controller before and one after training for each task of a run, print and write how they fared.

    Return 0, 1 if a rule is violated more often after than before, beyond the interval of the change, or 130 if
    interrupted. Raises InputError.
    """
    run = RunFiles(path)
    config = read_settings(run)
    domain = domain_of(run, config.task, specs or config.specs)
    rulebook = domain.rulebook(config.rulebook)
    content = read_run(path)
    check_domain(content, domain, rulebook)
    verdicts = VerdictCache(Verifier(domain, rulebook, config.settings), run.verdicts, num_processes)
    names = ("before", f"after-{_kept_round(content)}")
    before, after = (scored(read_samples(run.evaluated(name)), domain, verdicts) for name in names)
    pairs = drivers(before, after, domain)
    if not pairs:
        raise InputError(path, "nothing to drive: no task of it has a simulated world and answers that parse")
    out = console()
    try:
        with progress(out, "driving, tasks", len(pairs)) as report:
            driven = drive(pairs, domain, config.settings.reading, num_episodes, inf, num_processes, report)
    except KeyboardInterrupt:
        complain(f"interrupted: the controllers of {path} were not all driven, so nothing is judged")
        return INTERRUPTED
    first, second = (drive_score(side, rulebook) for side in driven)
    drives = Drives(before=first, after=second)
    write_json(run.drive, drives.model_dump(mode="json"))
    out.print(_table(drives))
    worse = [rule_id for rule_id in drives.after.rules if _is_worse(drives, rule_id)]
    if worse:
        complain(f"violated more often after training than before: {', '.join(worse)}")
    return int(bool(worse))


def _kept_round(run: Run) -> int:
    kept = [entry.round for entry in run.evaluation.rounds if entry.kept]
    if not kept:
        raise InputError(run.files.evaluation, "expected a round that was kept, got none", field="rounds")
    return kept[0]


def _is_worse(drives: Drives, rule_id: str) -> bool:
    before, after = drives.before.rules.get(rule_id), drives.after.rules.get(rule_id)
    # Of violations more is worse.
    return bool(before and after and change(before.share_violated, after.share_violated) is Change.BETTER)


def _table(drives: Drives) -> RenderableType:
    """Return the share of episodes that broke each rule, and how they ended, before and after."""
    sides = (drives.before, drives.after)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("violated, 95 % interval", "before", "after"):
        table.add_column(column, justify="left" if column.startswith("violated") else "right")
    for rule_id in dict.fromkeys((*drives.before.rules, *drives.after.rules)):
        rules = [side.rules.get(rule_id) for side in sides]
        table.add_row(rule_id, *(percent(rule.share_violated) if rule else "-" for rule in rules))
    table.add_section()
    table.add_row("arrived", *(percent(side.arrived) for side in sides))
    table.add_row("crashed", *(percent(side.crashed) for side in sides))
    table.add_row("at fault", *(percent(side.at_fault) for side in sides))
    return table
