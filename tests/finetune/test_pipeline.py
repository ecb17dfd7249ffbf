"""Whole runs of the ways to train that are not the default, small ones, in this process."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from waits import wait, waits_of

from verilora.finetune.pipeline import Pipeline
from verilora.finetune.run.config import (
    Algorithm,
    Budget,
    EvaluationConfig,
    GrpoConfig,
    OptimiserConfig,
    PairConfig,
    TrainConfig,
)
from verilora.specs.domain import Domain, load_domain
from verilora.specs.files.record_file import RecordFile
from verilora.specs.recorded_waits import RecordingSet, recorded_waits_path, write_recorded_waits
from verilora.verify.records.run import TrainingRow
from verilora.verify.records.run_files import RunFiles
from verilora.verify.records.verdict import Mode
from verilora.verify.reports.comparison import TABLES
from verilora.verify.worlds.world import WorldKind

DATA = Path(__file__).parents[1] / "data"
SMALL = TrainConfig(
    task="greenhouse",
    specs=str(DATA),
    rulebook="default",
    model=str(DATA / "greenhouse-base"),
    world=WorldKind.ABSTRACT,
    samples=8,
    keep_worse=True,
    evaluation=EvaluationConfig(train=1, held_out=2, num_tries=2, drive_seconds=0),
)


def execute(path: Path, domain: Domain, config: TrainConfig) -> tuple[RunFiles, dict[str, Any]]:
    """Run a pipeline to its end and return its files and its evaluation."""
    run = RunFiles(path)
    Pipeline(domain, domain.rulebook(), config, run, Console(quiet=True)).execute()
    return run, json.loads(run.evaluation.read_text())


def test_grpo_with_baselines_at_equal_tokens(tmp_path: Path, greenhouse: Domain) -> None:
    grpo = GrpoConfig(num_steps=2, group_size=4, batch_size=8)
    config = replace(SMALL, algorithm=Algorithm.GRPO, grpo=grpo, baselines=Budget.FULL, max_new_tokens=60)
    run, found = execute(tmp_path / "run", greenhouse, config)
    assert not run.samples.exists()
    assert not run.pairs.exists()
    rows = RecordFile(run.training, TrainingRow).read()
    assert {row.step for row in rows} == {1, 2}
    assert "2 steps of 8 answers a round for training" in run.path.joinpath("report.html").read_text()
    sampled = sum(row.num_tokens or 0 for row in rows)
    assert found["training_tokens"] == sampled > 0
    assert found["baselines"]["best_of_n"]["num_tokens"] == pytest.approx(sampled, rel=0.5)


def test_paper_mode_chooses_and_compares_by_raw_counts(tmp_path: Path, greenhouse: Domain) -> None:
    paper = replace(SMALL, mode=Mode.PAPER, world=WorldKind.UNIVERSAL, pairs=PairConfig(margin=1.0))
    run, found = execute(tmp_path / "run", greenhouse, paper)
    kept = next(entry for entry in found["rounds"] if entry["kept"])
    validation = found["splits"]["validation"]["after"]
    assert kept["validation"] == validation["raw_share"] != validation["compliance"]
    assert list(found["memorised"]) == list(TABLES)
    prompts = len(validation["compliance"]["sizes"])
    assert {table["splits"]["validation"]["num_responses"] for table in found["memorised"].values()} == {prompts}
    page = run.path.joinpath("report.html").read_text()
    assert "raw share of rules kept on validation" in page


def test_training_goes_by_other_recorded_waits_than_reports(tmp_path: Path, greenhouse: Domain) -> None:
    """Plants are dry in the waits to rank by, and never in those that are reported."""
    folder = Path(shutil.copytree(greenhouse.folder, tmp_path / "specs" / "greenhouse"))
    for world in ("glasshouse", "seedling_bench"):
        dry, never = (
            wait(greenhouse.vocabulary, *[second] * 60, recordings=recordings)
            for second, recordings in (("dry_soil", RecordingSet.RANKING), ("frost tank_empty", RecordingSet.REPORT))
        )
        waits = waits_of(greenhouse.vocabulary, dry, never, world=world)
        write_recorded_waits(recorded_waits_path(folder, world), waits)
    config = replace(SMALL, specs=str(tmp_path / "specs"), world=WorldKind.SIMULATED, rounds=1)
    run, found = execute(tmp_path / "run", load_domain("greenhouse", tmp_path / "specs"), config)
    after = found["splits"]["validation"]["after"]
    # An answer that waters whenever it likes is in time in both.
    assert after["timely"]["count"] < after["timely"]["of"]
    (entry,) = found["rounds"]
    assert entry["validation"]["mean"] > after["compliance"]["mean"]
    pairs = [json.loads(line) for line in run.pairs.read_text().splitlines()]
    assert {pair["chosen_rank"][3] for pair in pairs} == {10.0}
    judged = [json.loads(line)["verdict"]["timely"] for line in run.verdicts.read_text().splitlines()]
    assert {timely["recordings"] for timely in judged if timely} == {"ranking", "report"}
    shown = [example[when]["verdict"]["timely"] for example in found["examples"] for when in ("before", "after")]
    assert {timely["recordings"] for timely in shown if timely} == {"report"}
    # Found by the waits to rank by, a guard waits for what never comes in the others.
    assert found["memorised"]["guard_per_combination"]["splits"]["validation"]["gate_rate"]["share"] < 1


def test_an_adapter_that_is_not_better_than_the_base_is_rejected(tmp_path: Path, greenhouse: Domain) -> None:
    """One that changes nothing, from steps so small that all answers stay the same."""
    idle = replace(SMALL, keep_worse=False, rounds=1, optimiser=OptimiserConfig(learning_rate=1e-12, epochs=0.1))
    run, found = execute(tmp_path / "run", greenhouse, idle)
    assert found["rejected"]
    assert not any(entry["kept"] for entry in found["rounds"])
    assert not run.adapter.exists()
    assert sorted(path.name for path in run.rejected.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    page = run.path.joinpath("report.html").read_text()
    assert "No adapter was kept: its compliance on the validation split, " in page
    assert json.loads(run.report_json.read_text())["certificate"] is None
    # Once more, as after a kill before the report.
    assert execute(run.path, greenhouse, idle)[1] == found
