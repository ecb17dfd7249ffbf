"""What `verilora drive` does."""

import json
import os
from pathlib import Path

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ...specs.domain import Domain
from ...specs.files.errors import InputError, expected_one_of
from ...specs.files.printable import complain, one_line
from ...specs.rulebook import Rulebook
from ...specs.task import Task
from ...synth.controllers.controller import Reading
from ...synth.controllers.steps import InvalidController
from ..audits.audit import FIRST_SEED, Audit, RuleAudit
from ..audits.drive import check_simulated, drive, judged_rules
from ..audits.replay_search import Reproduction, save_episode
from ..records.interval import clopper_pearson
from ..verdicts.response import read_response, task_of
from .terminal import INTERRUPTED, console, progress


def drive_file(
    name: str,
    domain: Domain,
    rulebook: Rulebook,
    reading: Reading,
    task_id: str | None,
    num_episodes: int,
    num_processes: int | None = None,
    replay: Path | None = None,
    rule_id: str | None = None,
    *,
    as_json: bool = False,
) -> int:
    """Drive the controller in a file and print how its episodes kept the rules that apply there, and its goal.

    With `replay`, write an episode as a GIF: the first that breaks the rule `rule_id`, else the first of all. Return 0
    if nothing speaks against it (`Audit.findings`), 1 if something does, 2 for an invalid controller, 130 if
    interrupted. Raises InputError.
    """
    response = read_response(name)
    task = task_of(domain, response, task_id)
    check_simulated(name, task)
    if rule_id is not None and rule_id not in {rule.id for rule in rulebook.rules}:
        raise InputError(name, f"no such rule: {expected_one_of(rule_id, (rule.id for rule in rulebook.rules))}")
    judged = {rule.id for rule in judged_rules(domain, rulebook, task).rules}
    if rule_id is not None and rule_id not in judged:
        why = "it presumes what does not exist there, or binds in other worlds"
        raise InputError(name, f"the rule {rule_id!r} is not judged in the world {task.world!r}: {why}")
    # Where programs read, progress goes elsewhere.
    out = console(stderr=as_json)
    try:
        with progress(out, f"driving {name}", num_episodes) as report:
            audit = drive(
                response.text,
                domain,
                task.id,
                num_episodes=num_episodes,
                rulebook=rulebook,
                reading=reading,
                num_processes=num_processes or os.cpu_count() or 1,
                progress=report,
            )
    except InvalidController as error:
        complain(f"error: {one_line(name)}: {error}")
        return 2
    except KeyboardInterrupt:
        complain(f"interrupted: the episodes of {one_line(name)} were not all driven, so nothing is judged")
        return INTERRUPTED
    if as_json:
        print(json.dumps({"file": name, "task_id": task.id, **audit.to_json()}, indent=2))
    else:
        out.print(render_audit(name, audit, rulebook))
    if replay is not None:
        out.print(_replay(response.text, audit, task, domain, reading, replay, rule_id))
    return int(bool(audit.findings))


def render_audit(name: str, audit: Audit, rulebook: Rulebook) -> Group:
    """Return an audit as a table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("rule", "kept", "pending", "at the horizon", "violated", "violated, 95 % interval", ""):
        table.add_column(column, justify="left" if column in ("rule", "") else "right")
    english = {rule.id: rule.english for rule in rulebook.rules}
    for rule in audit.rules:
        low, high = rule.interval
        style = "bold red" if rule.violated else ""
        counts = (str(rule.kept), str(rule.pending), str(len(rule.pending_in)), Text(str(rule.violated), style=style))
        table.add_row(rule.rule_id, *counts, f"{low:.1%} to {high:.1%}", english[rule.rule_id])
    ended = audit.num_episodes - audit.num_arrived - audit.num_crashed
    summary = (
        f"{audit.num_episodes} episodes in {audit.world}: {audit.num_arrived} arrived, {audit.num_crashed} crashed "
        f"({audit.num_at_fault} by their own fault), {ended} were still waiting at the horizon"
    )
    found = [Text(f"! {finding}", style="bold red") for finding in audit.findings]
    return Group(Text(one_line(name), style="bold"), table, _ends(audit), Text(summary), *found)


def _ends(audit: Audit) -> Table:
    """Return what the episodes came to, beside the rules: in how many, and in which share of them."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("what happened", "episodes", "share, 95 % interval", ""):
        table.add_column(column, justify="left" if column in ("what happened", "") else "right")
    for words, count, meaning in (
        ("goal reached", audit.num_reached, "the controller did what the task asks for"),
        ("goal ruled out", audit.num_strayed, "it did what the goal of the task does not allow"),
        ("own-fault crash", audit.num_at_fault, "a crash that counts as its own"),
        ("never acted", audit.num_never_moved, "it gave no action but the idle one"),
    ):
        low, high = clopper_pearson(count, audit.num_episodes)
        table.add_row(words, str(count), f"{low:.1%} to {high:.1%}", meaning)
    return table


def _replay(
    text: str, audit: Audit, task: Task, domain: Domain, reading: Reading, path: Path, rule_id: str | None
) -> str:
    """Write a replay and return a line that says of what."""
    seed, what = FIRST_SEED, f"episode {FIRST_SEED}"
    if rule_id is not None:
        found = reproduction(next(rule for rule in audit.rules if rule.rule_id == rule_id), audit.num_episodes)
        if found.seed is None:
            return f"{found}, so no replay was written"
        seed, what = found.seed, str(found)
    try:
        save_episode(path, text, task.world, seed, domain, reading)
    except OSError as error:
        raise InputError(path, f"cannot be written: {error.strerror}") from None
    return f"{what} is replayed in {path}"


def reproduction(rule: RuleAudit, num_episodes: int) -> Reproduction:
    """Return the first episode that broke a rule, else the first that still left it pending at the horizon."""
    seed = next(iter((*rule.violated_in, *rule.pending_in)), None)
    is_pending = seed is not None and not rule.violated_in
    return Reproduction(rule_id=rule.rule_id, seed=seed, is_pending=is_pending, num_tried=num_episodes)
