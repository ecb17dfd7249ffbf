"""Replays of violations, with a search that finds what it is told: only what is written of them is under test."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

from verilora.finetune.answers.scored_answer import ScoredAnswer
from verilora.finetune.evaluation.illustrations import with_replay
from verilora.specs.domain import Domain
from verilora.specs.processes.forked import Unanswered
from verilora.specs.task import Task
from verilora.verify.audits.replay_search import ReplaySearch, Reproduction
from verilora.verify.records.evaluation import Replay, Violation
from verilora.verify.records.run_files import RunFiles

MakeScored = Callable[..., ScoredAnswer]


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


def test_replays_say_what_was_found(driving: Domain, scored: MakeScored, tmp_path: Path) -> None:
    search, run = cast(ReplaySearch, Search(driving)), RunFiles(tmp_path)
    verdict, task = scored("").verdict, "right-at-traffic-light"
    left = [
        Violation(when="after", task=task, wording="", text="", verdict=verdict, rule=rule)
        for rule in ("phi1", "phi2", "phi3")
    ]
    found = [with_replay(violation, search, run).replay for violation in left]
    assert found == [
        Replay(seed=7, gif="replays/phi1.gif", pending=True, searched=9),
        Replay(seed=None, pending=False, searched=9),
        None,
    ]
    assert (tmp_path / "replays" / "phi1.gif").is_file()
