"""Microseconds of SGMV by block sizes, warps, split lengths and early start, on one GPU.

    python benchmarks/scan_lora.py [--phase decode|prefill] [--compile-only] [--json FILE]

Each line changes one thing of what `kernels/lora/lora.py` ships; what ships is the first line of each phase. Compiling
first, the phases side by side, keeps the timed run short.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import triton

from kernels import Stopwatch
from verilora.kernels.lora import lora, lora_batch

from kernel_rows.lora import DISTINCT, FUSED, LLAMA_8B, NUM_ROWS, Registered, decode, prefill, projections_case
from kernel_rows.row import Case, Work

DECODE: list[dict[str, Any]] = [
    {},
    *({"SHRINK_DECODE": {"num_warps": warps}} for warps in (2, 8)),
    *({"SHRINK_DECODE": {"STAGES": stages}} for stages in (1, 3)),
    {"SHRINK_DECODE": {"num_warps": 8, "STAGES": 1}},
    {"EXPAND_DECODE": {"num_warps": 2}},
    *({"EXPAND_DECODE": {"STAGES": stages}} for stages in (2, 3)),
    {"DECODE_SPLITS": 8, "DECODE_SHORTEST": 512},
    {"DECODE_SPLITS": 8, "DECODE_SHORTEST": 512, "SHRINK_DECODE": {"num_warps": 8}},
    {"EARLY_SHRINK": False},
    {"can_start_early": lambda device: False},
]
PREFILL: list[dict[str, Any]] = [
    {},
    *({"SHRINK_PREFILL": {"ROWS": rows}} for rows in (32, 128)),
    *({"SHRINK_PREFILL": {"num_stages": stages}} for stages in (2, 4)),
    {"SHRINK_PREFILL": {"num_warps": 4}},
    {"PREFILL_STEP": 64},
    {"PREFILL_STEP": 256},
    {"PREFILL_STEP": 256, "SHRINK_PREFILL": {"num_stages": 2}},
    {"PREFILL_SPLIT": 1024},
    {"PREFILL_SPLIT": 4096},
    {"EXPAND_PREFILL": {"num_warps": 4}},
    {"PREFILL_BLOCK": 128},
    {"PREFILL_BLOCK": 32, "EXPAND_PREFILL": {"num_warps": 4}},
]


def decode_cases() -> dict[str, Case]:
    return {
        "r16 identical": decode([16], [NUM_ROWS]),
        "r16 distinct": decode([16] * NUM_ROWS, DISTINCT),
        "r64 distinct": decode([64] * NUM_ROWS, DISTINCT),
        "layer identical": decode([16], [NUM_ROWS], LLAMA_8B),
        "layer distinct": decode([16] * NUM_ROWS, DISTINCT, LLAMA_8B),
        **{"|".join(names): one(names) for names in FUSED},
    }


def one(names: tuple[str, ...]) -> Case:
    """Return the case of fused projections alone, of 64 adapters of rank 16."""
    widths = {name: LLAMA_8B[name] for name in names}
    return projections_case(Registered(ranks=[16] * NUM_ROWS, widths=widths), DISTINCT, "decode", (names,))


def prefill_cases() -> dict[str, Case]:
    return {"r16 4x512": prefill([16] * 4, [512] * 4), "r64 1x8192": prefill([64], [8192])}


@contextmanager
def changed(change: dict[str, Any]) -> Iterator[None]:
    """Set module constants of the kernels for a while; a dict is laid over the constant's own."""
    own = {name: getattr(lora, name) for name in change}
    block = lora_batch.PREFILL_BLOCK
    for name, value in change.items():
        setattr(lora, name, {**own[name], **value} if isinstance(value, dict) else value)
    lora_batch.PREFILL_BLOCK = change.get("PREFILL_BLOCK", block)
    try:
        yield
    finally:
        for name, value in own.items():
            setattr(lora, name, value)
        lora_batch.PREFILL_BLOCK = block


def scan(stopwatch: Stopwatch, make: Any, changes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for change in changes:
        with changed(change):
            found: dict[str, Any] = {"change": str(change)}
            for name, case in make().items():
                try:
                    is_right = case.error() <= case.tolerance
                    found[name] = round(stopwatch.time_us(case.run)[1], 2) if is_right else "red"
                except Exception as error:
                    found[name] = f"{type(error).__name__}: {str(error)[:80]}"
        print(found, flush=True)
        yield found


class Compiler(Stopwatch):
    """Runs work without timing it."""

    def time_us(self, work: Work) -> list[float]:
        work()
        return [0.0, 0.0, 0.0]


PHASES = {"decode": (decode_cases, DECODE), "prefill": (prefill_cases, PREFILL)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phase", choices=PHASES, help="scan one phase only")
    parser.add_argument("--compile-only", action="store_true", help="run everything once, so that it is compiled")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    stopwatch = Compiler() if arguments.compile_only else Stopwatch()
    phases = [arguments.phase] if arguments.phase else list(PHASES)
    found = [line for phase in phases for line in scan(stopwatch, *PHASES[phase])]
    if arguments.json:
        results = {"gpu": torch.cuda.get_device_name(), "triton": triton.__version__, "rows": found}
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
