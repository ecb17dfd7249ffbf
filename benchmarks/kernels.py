"""Microseconds of each kernel on one GPU, against torch, with the fraction of the roofline.

    python benchmarks/kernels.py [--only TEXT ...] [--json FILE] [--commit ID]

A row's correctness check comes first; a red row reports no time, and the exit code is 1. Times are those of a node in a
CUDA graph with the L2 cache flushed before it: a graph of several (flush, work) pairs less the same graph without the
work, over many replays. The flush reads a buffer, so that no dirty line is written back at the cost of the work. The
roofline's ceilings, device copy, bf16 matrix product and copy from the host, are measured in the same run.
"""

import argparse
import importlib
import json
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import triton
from rich.console import Console
from rich.table import Table

from kernel_rows.row import Case, Row, Work

NUM_IN_GRAPH = 10
NUM_REPLAYS = 30
FLUSH_BYTES = 192 * 2**20
QUANTILES = (0.2, 0.5, 0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """What this GPU reaches a second: bytes of a large copy (read and written) and from the host, bf16 operations."""

    copy_bytes: float
    matmul_flops: float
    host_bytes: float

    def floor_us(self, case: Case) -> float:
        return 1e6 * max(
            case.num_bytes / self.copy_bytes,
            case.num_flops / self.matmul_flops,
            case.host_bytes / self.host_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a row showed; times in microseconds."""

    name: str
    error: float = float("inf")
    tolerance: float = 0.0
    num_bytes: float = 0.0
    num_flops: float = 0.0
    floor_us: float = 0.0
    p20: float | None = None
    p50: float | None = None
    p80: float | None = None
    roofline: float | None = None
    target_us: float | None = None
    baselines: dict[str, float] | None = None
    failure: str | None = None

    @property
    def is_green(self) -> bool:
        return self.error <= self.tolerance


class Stopwatch:
    """Times work on the current GPU, cold in its L2 cache."""

    def __init__(self) -> None:
        self.buffer = torch.ones(FLUSH_BYTES // 4, device="cuda")
        self.flushed = torch.empty((), device="cuda")
        self.empty_us = self.graph_us(lambda: None)[1]

    def flush(self) -> None:
        torch.amax(self.buffer, dim=0, out=self.flushed)

    def graph_us(self, work: Work) -> list[float]:
        """Return the percentiles of a graph's time for each (flush, work) pair in it."""
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.flush()
                work()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(NUM_IN_GRAPH):
                self.flush()
                work()
        events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(NUM_REPLAYS + 3)]
        for start, end in events:
            start.record()
            graph.replay()
            end.record()
        torch.cuda.synchronize()
        times = torch.tensor([start.elapsed_time(end) for start, end in events[3:]], dtype=torch.float64)
        return [float(1000 * time / NUM_IN_GRAPH) for time in times.quantile(torch.tensor(QUANTILES).double())]

    def time_us(self, work: Work) -> list[float]:
        """Return the 20th, 50th and 80th percentile of the work's time."""
        return [time - self.empty_us for time in self.graph_us(work)]


def all_rows() -> list[Row]:
    """Return the rows of every module in `kernel_rows`."""
    names = sorted(path.stem for path in (Path(__file__).parent / "kernel_rows").glob("*.py"))
    modules = [importlib.import_module(f"kernel_rows.{name}") for name in names]
    return [row for module in modules for row in getattr(module, "ROWS", [])]


def ceilings() -> Ceilings:
    source = torch.randint(0, 255, (2**31,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    copy_ms = min(triton.testing.do_bench(lambda: target.copy_(source), return_mode="all"))
    left, right = torch.randn(2, 8192, 8192, device="cuda", dtype=torch.bfloat16)
    matmul_ms = min(triton.testing.do_bench(lambda: left @ right, return_mode="all"))
    pinned = torch.zeros(2**27, dtype=torch.uint8).random_().pin_memory()
    on_device = torch.empty_like(pinned, device="cuda")
    host_ms = min(
        triton.testing.do_bench(lambda: on_device.copy_(pinned, non_blocking=True), return_mode="all", rep=50)
    )
    return Ceilings(
        copy_bytes=2 * source.numel() / copy_ms * 1e3,
        matmul_flops=2 * 8192**3 / matmul_ms * 1e3,
        host_bytes=pinned.numel() / host_ms * 1e3,
    )


def measure(row: Row, stopwatch: Stopwatch, limits: Ceilings) -> Result:
    case = row.make()
    facts = Result(
        name=row.name,
        error=case.error(),
        tolerance=case.tolerance,
        num_bytes=case.num_bytes,
        num_flops=case.num_flops,
        floor_us=limits.floor_us(case),
        target_us=row.target_us,
    )
    if not facts.is_green:
        return facts
    p20, p50, p80 = stopwatch.time_us(case.run)
    baselines = {name: stopwatch.time_us(work)[1] for name, work in case.baselines.items()}
    return replace(facts, p20=p20, p50=p50, p80=p80, roofline=facts.floor_us / p50, baselines=baselines)


def measure_or_fail(row: Row, stopwatch: Stopwatch, limits: Ceilings) -> Result:
    """Return the row's result, red with the reason if it raised, so that the other rows are still measured."""
    try:
        return measure(row, stopwatch, limits)
    except Exception as error:
        return Result(name=row.name, failure=f"{type(error).__name__}: {error}")


def machine(limits: Ceilings, commit: str) -> dict[str, object]:
    return {
        "gpu": torch.cuda.get_device_name(),
        "copy_tb_s": limits.copy_bytes / 1e12,
        "matmul_tflop_s": limits.matmul_flops / 1e12,
        "host_gb_s": limits.host_bytes / 1e9,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "commit": commit,
    }


def head_commit() -> str:
    """Return the id of the checked-out commit, or "unknown" outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    return done.stdout.strip() or "unknown"


def render(results: list[Result], facts: dict[str, object]) -> Table:
    table = Table(title=", ".join(f"{name} {value}" for name, value in facts.items()))
    for column in ("row", "error", "floor", "p20", "p50", "p80", "of roofline", "target", "baselines"):
        table.add_column(column, justify="left" if column in {"row", "baselines"} else "right")
    for found in results:
        times = [f"{time:.2f}" if time is not None else "red" for time in (found.p20, found.p50, found.p80)]
        table.add_row(
            found.name,
            f"{found.error:.1e}",
            f"{found.floor_us:.2f}",
            *times,
            f"{found.roofline:.0%}" if found.roofline is not None else "",
            f"{found.target_us:g}" if found.target_us is not None else "",
            ", ".join(f"{name} {time:.1f}" for name, time in (found.baselines or {}).items()),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="measure the rows whose name contains this")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--commit", default=head_commit(), help="the commit to name, where git cannot tell")
    arguments = parser.parse_args()
    rows = [row for row in all_rows() if any(text in row.name for text in arguments.only or [""])]
    if not rows:
        sys.exit(f"--only, got {arguments.only}, expected parts of rows' names")
    if not torch.cuda.is_available():
        sys.exit("kernels are timed on an NVIDIA GPU; none is here")
    limits, stopwatch = ceilings(), Stopwatch()
    facts, results = machine(limits, arguments.commit), []
    for row in rows:
        results.append(measure_or_fail(row, stopwatch, limits))
        print(f"{row.name}: {results[-1].p50 or results[-1].failure or 'red'}", file=sys.stderr, flush=True)
        torch.cuda.empty_cache()
        if arguments.json:
            found = {"machine": facts, "rows": [asdict(result) for result in results]}
            arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    Console(width=200).print(render(results, facts))
    sys.exit(0 if all(result.is_green for result in results) else 1)


if __name__ == "__main__":
    main()
