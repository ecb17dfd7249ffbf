"""Output tokens a second on one GPU, beside those of vLLM and of transformers with PEFT in the same run.

    python benchmarks/serving.py --shapes 8b --systems ours peft vllm --vllm-site DIR --commit ID --json FILE

Random weights in the shape of a real model, random prompts, all submitted at once, greedy, ends ignored, no prefix
cache: 256 requests of 512 + 128 tokens, at most 64 at a time, with adapters of rank 16 on q, k, v, o. Popularities are
Punica's: all requests take one adapter, the square root of 64 adapters in turn, 64 by Zipf's law, or 64 in turn. Beside
each figure stand the share of the same system's base without adapters, and the ratio to vLLM on the same requests.
PEFT's figure is of one batch of 64. With `--timeline`, what the GPU does while 64 rows decode.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import triton
from serving_rows import ours
from serving_rows.cold_loads import ColdLoads
from serving_rows.shapes import random_decoder
from serving_rows.timeline import Timeline
from serving_rows.workload import POPULARITIES, SHAPES, Workload

from verilora.serving.engine.engine import Engine
from verilora.serving.schedule.settings import EngineSettings

GIB = 2**30
LOADS_PER_SECOND = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run: `share` is that of the same system's base, `to_vllm` the ratio to vLLM on the same requests."""

    system: str
    shape: str
    popularity: str
    tokens_per_second: float
    share: float = 0.0
    to_vllm: float | None = None
    steps: int | None = None
    start_seconds: float | None = None
    registered: int | None = None
    timelines: dict[str, Timeline] | None = None
    cold_loads: ColdLoads | None = None


def main() -> None:
    options = parsed()
    rows: list[Row] = []
    for shape in options.shapes:
        for system in options.systems:
            for row in SYSTEMS[system](shape, options):
                print(row, flush=True)
                rows.append(row)
                # What was measured is kept, whatever becomes of the rest.
                write(compared(rows), options)
            gc.collect()
            if options.device == "cuda":
                torch.cuda.empty_cache()
    for row in compared(rows):
        print(f"{row.system:6} {row.shape} {row.popularity:10} {row.tokens_per_second:8.0f} {row.share} {row.to_vllm}")


def write(rows: list[Row], options: argparse.Namespace) -> None:
    if not options.json:
        return
    found = {
        "gpu": torch.cuda.get_device_name() if options.device == "cuda" else "none",
        "torch": torch.__version__,
        "triton": triton.__version__,
        "commit": options.commit,
        "options": {name: str(value) for name, value in vars(options).items()},
        "rows": [asdict(row) for row in rows],
    }
    options.json.write_text(json.dumps(found, indent=1) + "\n")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["8b"], choices=SHAPES)
    parser.add_argument("--systems", nargs="+", default=["ours"], choices=SYSTEMS)
    parser.add_argument("--popularities", nargs="+", default=[*POPULARITIES], choices=POPULARITIES)
    parser.add_argument("--registered", type=int, default=64, help="adapters that are registered")
    parser.add_argument("--requests", type=int, default=256)
    parser.add_argument("--prompt-len", type=int, default=512)
    parser.add_argument("--output-len", type=int, default=128)
    parser.add_argument("--max-num-seqs", type=int, default=64, help="requests that run at a time")
    parser.add_argument("--max-model-len", type=int, default=8192, help="vLLM's")
    parser.add_argument("--max-loras", nargs="+", type=int, default=[64], help="vLLM's; its best counts")
    parser.add_argument("--peers-popularities", nargs="+", choices=POPULARITIES, help="those that peers run, if fewer")
    parser.add_argument("--vllm-site", type=Path, help="where vLLM is installed")
    parser.add_argument("--memory", type=int, default=32, help="GiB of our pool")
    parser.add_argument("--eager", action="store_true", help="ours without graphs")
    parser.add_argument("--no-overlap", action="store_true", help="ours with steps that wait for the tokens before")
    parser.add_argument("--timeline", action="store_true")
    parser.add_argument("--cold-loads", type=int, default=0, help="adapters that arrive from host memory, 20 a second")
    parser.add_argument("--deterministic", action="store_true", help="ours in its deterministic mode")
    parser.add_argument("--trace", help="a file for the kernels of the steps of the timeline")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--commit", default="", help="recorded with the results")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not options.commit:
        asked = ["git", "rev-parse", "--short", "HEAD"]
        options.commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return options


def workload_of(options: argparse.Namespace) -> Workload:
    return Workload(
        num_requests=options.requests,
        prompt_len=options.prompt_len,
        output_len=options.output_len,
        num_rows=options.max_num_seqs,
    )


def measure_ours(shape: str, options: argparse.Namespace) -> Iterator[Row]:
    decoder = random_decoder(shape, torch.device(options.device))
    settings = EngineSettings(
        memory_bytes=options.memory * GIB,
        max_rows=options.max_num_seqs + 8 * bool(options.cold_loads),
        token_budget=8192,
        chunk_len=2048,
        caches_prefixes=False,
        uses_graphs=not options.eager,
        overlaps_steps=not options.no_overlap,
        is_deterministic=options.deterministic,
        max_rank=ours.RANK,
        max_loaded=1024,
        # A page more than 27 MB an adapter, which lies in host memory beside the pool.
        host_bytes=(2 + options.registered // 32) * GIB,
    )
    started = time.perf_counter()
    engine = Engine(decoder, settings, is_paged=True)
    start_seconds = round(time.perf_counter() - started, 1)
    if options.popularities != ["none"]:
        ours.register(engine, decoder, options.registered)
    for popularity in options.popularities:
        requests = ours.requests_of(workload_of(options), popularity, decoder.architecture.vocab_size)
        speed, steps = ours.tokens_per_second(engine, requests, options.device)
        found = ours.timelines_of(engine, requests, options.max_num_seqs, options.trace) if options.timeline else None
        yield Row(
            system="ours",
            shape=shape,
            popularity=popularity,
            tokens_per_second=round(speed, 1),
            steps=steps,
            start_seconds=start_seconds,
            registered=options.registered,
            timelines=found,
        )
    if options.cold_loads:
        vocab_size = decoder.architecture.vocab_size
        loads = ours.cold_loads_of(engine, workload_of(options), vocab_size, options.cold_loads, LOADS_PER_SECOND)
        yield Row(system="ours", shape=shape, popularity="cold loads", tokens_per_second=0.0, cold_loads=loads)


def measure_peft(shape: str, options: argparse.Namespace) -> Iterator[Row]:
    from serving_rows import peft_peer

    for popularity in options.peers_popularities or options.popularities:
        speed = peft_peer.tokens_per_second(shape, workload_of(options), popularity)
        yield Row(system="peft", shape=shape, popularity=popularity, tokens_per_second=round(speed, 1))


def measure_vllm(shape: str, options: argparse.Namespace) -> Iterator[Row]:
    """Yield vLLM's rows: its base without adapters switched on, and the best of some settings with them."""
    best: dict[str, Row] = {}
    asked = options.peers_popularities or options.popularities
    some = [one for one in asked if one != "none"]
    runs = [(["none"], 0)] if "none" in asked else []
    runs += [(some, max_loras) for max_loras in options.max_loras] if some else []
    for popularities, max_loras in runs:
        for row in asked_vllm(shape, popularities, max_loras, options):
            if row.popularity not in best or row.tokens_per_second > best[row.popularity].tokens_per_second:
                best[row.popularity] = row
    yield from best.values()


def asked_vllm(shape: str, popularities: list[str], max_loras: int, options: argparse.Namespace) -> Iterator[Row]:
    workload = workload_of(options)
    command = [sys.executable, str(Path(__file__).parent / "serving_rows" / "vllm_peer.py"), "--shape", shape]
    command += ["--popularities", *popularities, "--max-loras", str(max(1, max_loras))]
    command += ["--max-model-len", str(options.max_model_len)]
    for name, value in asdict(workload).items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(options.vllm_site)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    start_seconds = None
    for line in done.stdout.splitlines():
        if line.startswith('{"start_seconds"'):
            start_seconds = json.loads(line)["start_seconds"]
        elif line.startswith('{"popularity"'):
            yield Row(system="vllm", shape=shape, start_seconds=start_seconds, **json.loads(line))


SYSTEMS = {"ours": measure_ours, "peft": measure_peft, "vllm": measure_vllm}


def compared(rows: list[Row]) -> list[Row]:
    """Return the rows with their share of their own base, and their ratio to vLLM."""
    speeds = {(row.system, row.shape, row.popularity): row.tokens_per_second for row in rows}

    def ratio(row: Row, system: str, popularity: str) -> float | None:
        other = speeds.get((system, row.shape, popularity))
        return None if other is None else round(row.tokens_per_second / other, 4)

    return [
        replace(row, share=ratio(row, row.system, "none") or 0.0, to_vllm=ratio(row, "vllm", row.popularity))
        for row in rows
    ]


if __name__ == "__main__":
    main()
