"""What `verilora drive --run` does: the full audit of a run in the simulator, without the time limit of training."""

from math import inf
from pathlib import Path

from rich import box
from rich.console import RenderableType
from rich.table import Table

from ...specs.files.atomic import write_json
from ...specs.files.errors import InputError
from ...specs.files.printable import complain
from ...specs.rulebook import Rulebook
from ...verify.commands.terminal import INTERRUPTED, console, progress
from ...verify.records.evaluation import Drives
from ...verify.records.run import Run, domain_of, read_run
from ...verify.records.run_files import RunFiles
from ...verify.reports.comparison import driven_rules, episodes
from ...verify.reports.findings import Change, percent
from ...verify.reports.report import check_domain
from ...verify.verdicts.verifier import Verifier
from ..answers.samples import read_samples
from ..answers.scored_answer import scored
from ..answers.verdict_cache import VerdictCache
from ..evaluation.drive import drive, drive_score, drivers
from ..run.config_file import read_settings


def audit_run(path: Path, specs: Path | None, num_episodes: int, num_processes: int) -> int:
    """Drive a controller before and one after training for each task of a run, print and write how they fared.

    Return 0, 1 if something is worse after than before, beyond the interval of the change, or 130 if interrupted: a
    rule that is violated, or how episodes ended (own-fault crashes, never acting, goals). Raises InputError.
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
    first, second = (drive_score(side, domain, rulebook) for side in driven)
    drives = Drives(before=first, after=second)
    write_json(run.drive, drives.model_dump(mode="json"))
    out.print(_table(drives))
    fallen = worse(drives, rulebook)
    if fallen:
        complain(f"worse after training than before: {', '.join(fallen)}")
    return int(bool(fallen))


def _kept_round(run: Run) -> int:
    kept = [entry.round for entry in run.evaluation.rounds if entry.kept]
    if not kept:
        raise InputError(run.files.evaluation, "expected a round that was kept, got none", field="rounds")
    return kept[0]


def worse(drives: Drives, rulebook: Rulebook) -> list[str]:
    """Return what got worse beyond the interval of the change: how episodes ended, and rules that they broke."""
    rows = (*episodes(drives), *driven_rules(drives, rulebook))
    return [row.name for row in rows if row.cells[0].change is Change.WORSE]


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
    for row in episodes(drives):
        both = (row.cells[0].before, row.cells[0].after)
        table.add_row(row.name, *(percent(share) if share else row.cells[0].note for share in both))
    return table
