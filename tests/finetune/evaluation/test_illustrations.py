"""Replays of violations, with a search that finds what it is told: only what is written of them is under test."""

from pathlib import Path
from typing import Any, cast

from verilora.finetune.evaluation.illustrations import add_replays
from verilora.finetune.run.run_files import RunFiles
from verilora.specs.domain import Domain
from verilora.specs.processes.forked import Unanswered
from verilora.specs.task import Task
from verilora.verify.audits.replay_search import ReplaySearch, Reproduction


class Search:
    """Finds an episode for some rules, none for others, and gives up on one."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain

    def find(self, text: str, task: Task, rule_id: str) -> Reproduction:
        if rule_id == "phi3":
            raise Unanswered("no result within 5 s")
        seed = 7 if rule_id == "phi1" else None
        return Reproduction(rule_id=rule_id, seed=seed, is_pending=seed is not None, num_tried=9)

    def save(self, path: Path, text: str, task: Task, seed: int) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"GIF89a")


def test_replays_say_what_was_found(driving: Domain, tmp_path: Path) -> None:
    left: list[dict[str, Any]] = [
        {"rule": rule, "task": "right-at-traffic-light", "text": ""} for rule in ("phi1", "phi2", "phi3")
    ]
    add_replays(left, cast(ReplaySearch, Search(driving)), RunFiles(tmp_path))
    found = {"seed": 7, "searched": 9, "pending": True, "gif": "replays/phi1.gif"}
    assert [violation.get("replay") for violation in left] == [
        found,
        {"seed": None, "searched": 9, "pending": False},
        None,
    ]
    assert (tmp_path / "replays" / "phi1.gif").is_file()
