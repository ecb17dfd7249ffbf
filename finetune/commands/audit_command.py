"""What `verilora drive --run` does: the full audit of a run in the simulator, without the time limit of training."""

import sys
from math import inf
from pathlib import Path
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table

from ...specs.domain import Domain, load_domain
from ...specs.files.errors import InputError
from ...specs.files.record_file import write_json
from ...verify.commands.terminal import console, progress
from ...verify.records.run_directory import EVALUATION, RunDirectory, read_run, specs_folder
from ...verify.reports.report import check_unchanged
from ...verify.verdicts.verifier import Verifier
from ..answers.samples import read_samples
from ..answers.verdict_cache import Judge, Judged
from ..evaluation.drive import drive, drive_score, drivers
from ..run.run_files import RunFiles

INTERRUPTED = 130


def audit_run(path: Path, specs: Path | None, num_episodes: int, num_processes: int) -> int:
    """Drive a controller before and one after training for each task of a run, print and write how they fared.

    Return 0, 1 if a rule is violated more often after than before, beyond the intervals, or 130 if interrupted. Raises
    InputError.
    """
    run = RunFiles(path)
    config = run.read_settings()
    domain = load_domain(config.task, specs_folder(run.config_path, config.specs, config.task, specs))
    rulebook = domain.rulebook(config.rulebook)
    directory = read_run(path)
    check_unchanged(directory, domain, rulebook)
    judge = Judge(Verifier(domain, rulebook, config.settings), run.verdicts, num_processes)
    before, after = (_held_out(run, name, domain, judge) for name in ("before", f"after-{_kept_round(directory)}"))
    pairs = drivers(before, after, domain)
    if not pairs:
        raise InputError(path, "nothing to drive: no task of it has a simulated world and answers that parse")
    out = console()
    try:
        with progress(out, "driving, tasks", len(pairs)) as report:
            driven = drive(pairs, domain, config.settings.reading, num_episodes, inf, num_processes, report)
    except KeyboardInterrupt:
        print(f"interrupted: the controllers of {path} were not all driven, so nothing is judged", file=sys.stderr)
        return INTERRUPTED
    scores = {when: drive_score(side, rulebook) for when, side in zip(("before", "after"), driven, strict=True)}
    write_json(run.path / "drive.json", scores)
    out.print(_table(scores))
    worse = [rule_id for rule_id in scores["after"]["rules"] if _is_worse(scores, rule_id)]
    if worse:
        print(f"violated more often after training than before: {', '.join(worse)}", file=sys.stderr)
    return int(bool(worse))


def _kept_round(run: RunDirectory) -> int:
    kept = [entry.round for entry in run.evaluation.rounds if entry.kept]
    if not kept:
        raise InputError(run.path / EVALUATION, "expected a round that was kept, got none", field="rounds")
    return kept[0]


def _held_out(run: RunFiles, name: str, domain: Domain, judge: Judge) -> list[Judged]:
    samples = read_samples(run.evaluated(name))
    judgements = judge.judge([(sample.text, domain.task(sample.task_id)) for sample in samples])
    return [Judged(*pair) for pair in zip(samples, judgements, strict=True)]


def _is_worse(scores: dict[str, Any], rule_id: str) -> bool:
    before, after = (scores[when]["rules"].get(rule_id) for when in ("before", "after"))
    return bool(before and after and after["share_violated"]["low"] > before["share_violated"]["high"])


def _table(scores: dict[str, Any]) -> RenderableType:
    """Return the share of episodes that broke each rule, and how they ended, before and after."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("violated, 95 % interval", "before", "after"):
        table.add_column(column, justify="left" if column.startswith("violated") else "right")
    for rule_id in dict.fromkeys((*scores["before"]["rules"], *scores["after"]["rules"])):
        rules = [scores[when]["rules"].get(rule_id) for when in ("before", "after")]
        table.add_row(rule_id, *(_share(rule["share_violated"]) if rule else "-" for rule in rules))
    table.add_section()
    for name in ("arrived", "crashed", "at_fault"):
        table.add_row(name.replace("_", " "), *(_share(scores[when][name]) for when in ("before", "after")))
    return table


def _share(share: dict[str, Any]) -> str:
    return f"{share['share']:.1%} ({share['low']:.1%} to {share['high']:.1%})"
