"""The files of a run: where each stage finds what the ones before it wrote."""

from dataclasses import dataclass
from pathlib import Path

from ...specs.files.atomic import UNFINISHED
from ...specs.files.lock import LOCK


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of a run. What a round trains lies in a folder of its own until the best round becomes `adapter/`."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def stages(self) -> Path:
        return self.path / "stages.jsonl"

    @property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @property
    def verdicts(self) -> Path:
        return self.path / "verdicts.jsonl"

    @property
    def pairs(self) -> Path:
        return self.path / "pairs.jsonl"

    @property
    def training(self) -> Path:
        return self.path / "training.jsonl"

    def evaluated(self, name: str) -> Path:
        """Return where the responses of one evaluation stand."""
        return self.path / "evaluation" / f"{name}.jsonl"

    def round(self, number: int) -> Path:
        """Return the folder of a round: its checkpoints, then its `adapter/`."""
        return self.path / "checkpoints" / f"round-{number}"

    def round_adapter(self, number: int) -> Path:
        """Return the adapter of a round; of round 0 there is none."""
        return self.round(number) / "adapter"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def rejected(self) -> Path:
        """Where an adapter lies that is not better than the base model."""
        return self.path / "rejected"

    @property
    def evaluation(self) -> Path:
        return self.path / "eval.json"

    def replay(self, rule_id: str) -> Path:
        """Return the animated picture of an episode that breaks a rule."""
        return self.path / "replays" / f"{rule_id}.gif"

    @property
    def drive(self) -> Path:
        """What the full audit in the simulator found."""
        return self.path / "drive.json"

    @property
    def report_html(self) -> Path:
        return self.path / "report.html"

    @property
    def report_json(self) -> Path:
        return self.path / "report.json"

    @property
    def junit(self) -> Path:
        return self.path / "junit.xml"

    @property
    def audit(self) -> Path:
        """A row for each rule and task, for an auditor's spreadsheet."""
        return self.path / "audit.csv"

    @property
    def is_unbegun(self) -> bool:
        """Whether the directory holds at most what a run writes before its configuration stands there."""
        before = {LOCK, self.stages.name, self.evaluated("").parent.name, f"{self.config.name}{UNFINISHED}"}
        return all(entry.name in before for entry in self.path.iterdir())
