"""What a server costs: the engine behind `verilora serve` beside the same engine without it, in one run.

    python benchmarks/server.py --json benchmarks/results/server.json
    python benchmarks/server.py --device cuda --shape 8b --folder DIR --commit ID --json FILE

Output tokens a second at 64 and 256 streams and their share of the bare engine's; the time to the first token at half
the bare engine's speed, and what the server adds to it; the CPU time of engine and front a streamed token; how late
the front's event loop is; and all of it while 20 adapters a second are loaded over HTTP. Requests are `verilora
bench`'s: the bare engine gets the same prompts, at the same times. It is measured before and behind the server, and
the mean counts. On a machine that others use, too, times of CPU hold, and shares do not. A shape has random weights,
which are written to a folder once (16 GB for 8b).
"""

import argparse
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from rich.table import Table
from server_rows.adapter_folders import write_adapters
from server_rows.measures import Bare, Load, Speed, load, load_adapters, measured
from server_rows.random_model import write_model
from server_rows.rows import BareFigures, FirstToken, Loads, Streams
from server_rows.served import Served, serving
from server_rows.workload import MODEL
from serving_rows.workload import SHAPES

from verilora.specs.files.atomic import write_json
from verilora.synth.models.model_files import model_folder
from verilora.verify.records.versions import versions

PACKAGES = ("torch", "triton", "fastapi", "starlette", "uvicorn", "pyzmq", "msgspec", "aiohttp")
Row = Streams | FirstToken | Loads


def main() -> None:
    options = parsed()
    with TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "model"
        model = write_model(folder, options.shape, options.device) if options.shape else model_folder(options.model)
        before = bare_figures(model, options, options.rate)
        with server_of(model, options, Path(scratch)) as (served, adapters):
            loads = {streams: several(served, options, streams) for streams in options.streams}
            arriving = load(served, **lengths(options), num_requests=options.requests, rate=before.rate)
            loading = while_loading(served, options, adapters, loads[options.streams[0]])

        def tell(behind: BareFigures) -> None:
            rows = [*compared(before, behind, loads), first_token(before, behind, arriving), loading]
            print_rows(rows)
            if options.json:
                write_json(options.json, {**about(options), "rows": [asdict(row) for row in rows]})

        # What was measured is kept, whatever becomes of the rest.
        tell(before)
        tell(bare_figures(model, options, before.rate))


def bare_figures(model: Path, options: argparse.Namespace, rate: float | None) -> BareFigures:
    """Return what the engine does alone; without a rate, requests arrive at half the speed of the fewest streams."""
    description = {"model": str(model), "device": options.device, "max_rows": max(options.streams)}
    with Bare.of(description | {"memory_utilization": options.memory}) as bare:
        speeds = {}
        for streams in options.streams:
            plan = {**lengths(options), "num_requests": streams * options.rounds}
            # What is compiled at its first step is compiled before.
            bare.speed(streams, **{**plan, "num_requests": streams})
            speeds[streams] = middle([bare.speed(streams, **plan) for _ in range(options.repeats)])
        rate = rate or round(speeds[options.streams[0]].tokens_per_second / options.output_len / 2, 2)
        found = bare.first_token(**lengths(options), num_requests=options.requests, rate=rate)
    return BareFigures(rate=rate, speeds=speeds, first_token=found)


@contextmanager
def server_of(model: Path, options: argparse.Namespace, scratch: Path) -> Iterator[tuple[Served, list[str]]]:
    """Yield a server, and the names of adapters that it may load."""
    root, state = scratch / "adapters", scratch / "state"
    adapters = write_adapters(root, model, round(options.load_seconds * options.loads_per_second))
    arguments = ["--model", str(model), "--served-model-name", MODEL, "--device", options.device]
    arguments += ["--max-num-seqs", str(max(options.streams)), "--adapter-root", str(root), "--state", str(state)]
    if options.device != "cpu":
        arguments += ["--gpu-memory-utilization", str(options.memory)]
    with serving(scratch / "log", *arguments) as served:
        yield served, adapters


def several(served: Served, options: argparse.Namespace, streams: int) -> Load:
    """Return the median of some loads of so many streams; a shorter one comes first and does not count."""
    load(served, **lengths(options), num_requests=streams, concurrency=streams)
    asked = {"num_requests": streams * options.rounds, "concurrency": streams}
    loads = [load(served, **lengths(options), **asked) for _ in range(options.repeats)]
    speed = middle([one.speed for one in loads])
    return next(one for one in loads if one.speed is speed)


def middle(speeds: list[Speed]) -> Speed:
    """Return the median, the slower of two."""
    return sorted(speeds, key=lambda speed: speed.tokens_per_second)[(len(speeds) - 1) // 2]


def while_loading(served: Served, options: argparse.Namespace, adapters: list[str], alone: Load) -> Loads:
    """Return a load beside which adapters are loaded; it goes on a little longer than they take."""
    streams = options.streams[0]
    num_requests = round(1.2 * options.load_seconds * alone.speed.tokens_per_second / options.output_len)
    asked = {"num_requests": max(streams, num_requests), "concurrency": streams}
    with measured(served, **lengths(options), **asked) as found:
        loaded = load_adapters(served, adapters, options.loads_per_second)
    share = found[0].speed.tokens_per_second / alone.speed.tokens_per_second
    return Loads(adapters=loaded, streams=streams, share=share, load=found[0])


def compared(before: BareFigures, behind: BareFigures, loads: dict[int, Load]) -> Iterator[Streams]:
    for streams, one in loads.items():
        both = before.speeds[streams], behind.speeds[streams]
        bare = mean(speed.tokens_per_second for speed in both)
        yield Streams(
            streams=streams,
            bare=bare,
            bare_before=both[0],
            bare_behind=both[1],
            share=one.speed.tokens_per_second / bare,
            engine_overhead=one.speed.engine_us_a_token / mean(speed.engine_us_a_token for speed in both) - 1,
            load=one,
        )


def first_token(before: BareFigures, behind: BareFigures, arriving: Load) -> FirstToken:
    bare, served = mean((before.first_token, behind.first_token)), arriving.latencies["ttft"]["p50"]
    return FirstToken(rate=before.rate, bare=bare, served=served, added=served - bare, load=arriving)


def lengths(options: argparse.Namespace) -> dict[str, int]:
    return {"input_len": options.prompt_len, "output_len": options.output_len}


def print_rows(rows: list[Row]) -> None:
    table = Table(
        "", "bare", "served", "share", "engine µs/token", "front µs/token", "front of a core", "late p50", "late p99 ms"
    )
    for row in rows:
        name, *cells = told(row)
        one = row.load
        table.add_row(
            name,
            *cells,
            engine_time(row),
            f"{one.front_us_a_token:.0f}",
            f"{one.front_share:.2f}",
            f"{one.late_p50_ms:.2f}",
            f"{one.late_p99_ms:.2f}",
        )
    Console(width=140).print(table)


def engine_time(row: Row) -> str:
    served = f"{row.load.speed.engine_us_a_token:.0f}"
    return f"{served} ({row.engine_overhead:+.1%})" if isinstance(row, Streams) else served


def told(row: Row) -> tuple[str, str, str, str]:
    speed = row.load.speed.tokens_per_second
    if isinstance(row, Streams):
        return f"tokens/s, {row.streams} streams", f"{row.bare:.0f}", f"{speed:.0f}", f"{row.share:.1%}"
    if isinstance(row, FirstToken):
        name = f"TTFT p50 ms, {row.rate:g} requests/s"
        return name, f"{row.bare:.1f}", f"{row.served:.1f}", f"{row.added:+.1f} ms"
    name = f"tokens/s, {row.streams} streams, {row.adapters.per_second:.1f} adapters/s"
    return name, "", f"{speed:.0f}", f"{row.share:.1%}"


def about(options: argparse.Namespace) -> dict[str, object]:
    """Return what the figures depend on."""
    return {
        "gpu": torch.cuda.get_device_name() if options.device != "cpu" else "none",
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
        },
        "versions": versions(PACKAGES),
        "commit": options.commit,
        "options": {name: str(value) for name, value in vars(options).items()},
    }


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a folder or a hub id; the embedded model without it")
    parser.add_argument("--shape", choices=SHAPES, help="random weights in this shape instead")
    parser.add_argument("--folder", type=Path, help="where those are kept, for the next run too")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", type=float, default=0.9, help="the share of a GPU's memory to use")
    parser.add_argument("--streams", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--prompt-len", type=int, default=64)
    parser.add_argument("--output-len", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2, help="requests of each stream")
    parser.add_argument("--repeats", type=int, default=3, help="the median counts")
    parser.add_argument("--requests", type=int, default=200, help="those that arrive for the time to the first token")
    parser.add_argument("--rate", type=float, help="of their arrivals; half of what the bare engine does without it")
    parser.add_argument("--loads-per-second", type=float, default=20.0)
    parser.add_argument("--load-seconds", type=float, default=10.0)
    parser.add_argument("--commit", default="", help="recorded with the results")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not options.commit:
        asked = ["git", "rev-parse", "--short", "HEAD"]
        options.commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return options


if __name__ == "__main__":
    main()
