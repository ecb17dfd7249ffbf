"""Where the time of a training run goes: seconds, tokens a second and what bounds each stage.

    python benchmarks/train.py [--run DIR] [--json FILE] [-- options of train]

Without --run a new run is made. A stage that computes with the model is compared with the machine's own rate of fp32
matrix products (bf16 on a GPU), measured here: what is far below it is bound by the many small operations of a small
model, not by arithmetic. A verifier's stage is bound by Spot, a drive by the simulator.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from verilora.finetune.answers.samples import read_samples
from verilora.finetune.run.stage_times import StageTime
from verilora.serving.engine.generator import Generator
from verilora.specs.files.atomic import write_json
from verilora.specs.files.record_file import RecordFile
from verilora.verify.records.run_files import RunFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A stage: what it took, the tokens that it sampled or trained on, and its share of the rate of matrix products."""

    stage: str
    seconds: float
    tokens: int | None
    share_of_rate: float | None
    bound: str


def main() -> None:
    options = _options()
    run = options.run or _train(options.extra)
    config = json.loads((run / "config.json").read_text())
    rate = _matrix_rate(config["device"])
    size = sum(parameter.numel() for parameter in Generator(config["model"]).model.parameters())
    rows = list(_rows(run, size, rate))
    _print(rows)
    if options.json:
        machine = {
            "versions": config["versions"],
            "device": config["device"],
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "processor": platform.processor() or platform.machine(),
            "matrix_flops": rate,
            "num_parameters": size,
        }
        write_json(options.json, {"machine": machine, "rows": [asdict(row) for row in rows]})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run that is there already")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("extra", nargs="*", help="after --: options of `train`")
    return parser.parse_args()


def _train(extra: list[str]) -> Path:
    run = Path(mkdtemp()) / "run"
    subprocess.run([sys.executable, "-m", "verilora", "train", "--out", str(run), *extra], check=True)
    return run


def _matrix_rate(device: str) -> float:
    """Return the floating-point operations a second of a large matrix product, the median of five."""
    size = 2048 if device == "cpu" else 8192
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(6):
        begin = time.perf_counter()
        product = left @ right
        # Waits for a GPU.
        float(product[0, 0])
        seconds.append(time.perf_counter() - begin)
    return 2 * size**3 / median(seconds[1:])


def stage_seconds(run: Path) -> dict[str, float]:
    """Return how long each stage of a run took: in all rounds, and over all times that it was resumed."""
    found: dict[str, float] = {}
    for entry in RecordFile(RunFiles(run).stages, StageTime).read():
        found[entry.stage] = found.get(entry.stage, 0.0) + entry.seconds
    return found


def _rows(run: Path, size: int, rate: float) -> Iterator[Row]:
    tokens = _tokens(run)
    for stage, seconds in stage_seconds(run).items():
        processed = tokens.get(stage)
        share = None
        if processed is not None:
            # A token costs two operations a parameter forwards, and four more backwards.
            per_token = 2 * size if stage.startswith("sample") else 6 * size
            share = per_token * processed / seconds / rate
        yield Row(stage=stage, seconds=seconds, tokens=processed, share_of_rate=share, bound=_bound(stage, share))


def _tokens(run: Path) -> dict[str, int]:
    """Return how many tokens each stage sampled, and how many DPO went over, all epochs."""
    found: dict[str, int] = {}
    for path in (run / "samples.jsonl", *sorted((run / "evaluation").glob("*.jsonl"))):
        is_after = path.stem.startswith("after")
        for sample in read_samples(path):
            # Later rounds sample from the adapter of the round before.
            of_later_round = sample.part.startswith("round ") and sample.part != "round 1"
            who = "adapter" if is_after or of_later_round else "base model"
            stage = f"sample {sample.part}, {who}"
            found[stage] = found.get(stage, 0) + sample.num_tokens
    for state in (run / "checkpoints").glob("round-*/checkpoint-*/trainer_state.json"):
        stage = f"DPO, round {state.parts[-3].removeprefix('round-')}"
        history = json.loads(state.read_text())["log_history"]
        found[stage] = max([found.get(stage, 0), *(int(row.get("num_tokens", 0)) for row in history)])
    return found


def _bound(stage: str, share: float | None) -> str:
    if stage.startswith("verify"):
        return "Spot: products and searches"
    if stage in ("drive", "replays"):
        return "the simulator"
    if share is None:
        return ""
    return "arithmetic" if share > 0.5 else "small operations, one after the other"


def _print(rows: list[Row]) -> None:
    table = Table(title=f"{sum(row.seconds for row in rows):.0f} s in all")
    for column in ("stage", "seconds", "tokens", "tokens/s", "share of the matrix rate", "bound by"):
        table.add_column(column, justify="left" if column in ("stage", "bound by") else "right")
    for row in rows:
        cells: list[Any] = [f"{row.seconds:.1f}"]
        cells.append("" if row.tokens is None else f"{row.tokens:,}")
        cells.append("" if row.tokens is None else f"{row.tokens / row.seconds:,.0f}")
        cells.append("" if row.share_of_rate is None else f"{row.share_of_rate:.1%}")
        table.add_row(row.stage, *cells, row.bound)
    Console().print(table)


if __name__ == "__main__":
    main()
