"""Microseconds of SGMV by block sizes, warps, split lengths and early start, on one GPU.

    python benchmarks/scan_lora.py [--phase decode|prefill] [--compile-only] [--json FILE]

Each line changes one thing of what `SgmvConfig` ships; what ships is the first line of each phase. Compiling
first, the phases side by side, keeps the timed run short.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import triton

from kernels import Stopwatch
from verilora.kernels.lora.sgmv_config import SgmvConfig

from kernel_rows.lora import DISTINCT, FUSED, LLAMA_8B, NUM_ROWS, Registered, decode, prefill, projections_case
from kernel_rows.row import Case, Work

DECODE: list[dict[str, int]] = [
    {},
    *({"shrink_decode_warps": warps} for warps in (2, 8)),
    *({"shrink_decode_stages": stages} for stages in (1, 3)),
    {"shrink_decode_warps": 8, "shrink_decode_stages": 1},
    {"expand_decode_warps": 2},
    *({"expand_decode_stages": stages} for stages in (2, 3)),
    {"decode_splits": 8, "decode_shortest": 512},
    {"decode_splits": 8, "decode_shortest": 512, "shrink_decode_warps": 8},
    {"is_shrink_early": False},
    {"is_early": False},
]
PREFILL: list[dict[str, int]] = [
    {},
    *({"shrink_prefill_rows": rows} for rows in (32, 128)),
    *({"shrink_prefill_stages": stages} for stages in (2, 4)),
    {"shrink_prefill_warps": 4},
    {"prefill_step": 64},
    {"prefill_step": 256},
    {"prefill_step": 256, "shrink_prefill_stages": 2},
    {"prefill_split": 1024},
    {"prefill_split": 4096},
    {"expand_prefill_warps": 4},
    {"prefill_block": 128},
    {"prefill_block": 32, "expand_prefill_warps": 4},
]


def decode_cases(config: SgmvConfig) -> dict[str, Case]:
    return {
        "r16 identical": decode([16], [NUM_ROWS], config=config),
        "r16 distinct": decode([16] * NUM_ROWS, DISTINCT, config=config),
        "r64 distinct": decode([64] * NUM_ROWS, DISTINCT, config=config),
        "layer identical": decode([16], [NUM_ROWS], LLAMA_8B, config=config),
        "layer distinct": decode([16] * NUM_ROWS, DISTINCT, LLAMA_8B, config=config),
        **{"|".join(names): one(names, config) for names in FUSED},
    }


def one(names: tuple[str, ...], config: SgmvConfig) -> Case:
    """Return the case of fused projections alone, of 64 adapters of rank 16."""
    widths = {name: LLAMA_8B[name] for name in names}
    return projections_case(Registered(ranks=[16] * NUM_ROWS, widths=widths), DISTINCT, "decode", (names,), config)


def prefill_cases(config: SgmvConfig) -> dict[str, Case]:
    return {
        "r16 4x512": prefill([16] * 4, [512] * 4, config=config),
        "r64 1x8192": prefill([64], [8192], config=config),
    }


def scan(stopwatch: Stopwatch, make: Any, changes: list[dict[str, int]]) -> Iterator[dict[str, Any]]:
    for change in changes:
        found: dict[str, Any] = {"change": str(change)}
        for name, case in make(SgmvConfig(**change)).items():
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
