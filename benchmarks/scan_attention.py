"""Microseconds of attention over paged caches by tile, warps, stages and split length, on one GPU.

    python benchmarks/scan_attention.py [--only TEXT] [--json FILE]

What ships in `attention_decode.py`, `attention_prefill.py` and `attention_scores.py` of `kernels/attention/` was chosen
from this.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import torch
import triton

from kernels import Stopwatch
from verilora.kernels.attention.attention_decode import DecodeConfig, launch_attention_decode
from verilora.kernels.attention.attention_prefill import PrefillConfig, attention_prefill, launch_attention_prefill
from verilora.kernels.attention.attention_scores import ScoresConfig, launch_attention_scores
from verilora.kernels.attention.decode_step import DecodeStep
from verilora.kernels.attention.layer_cache import LayerCache
from verilora.kernels.attention.prefill_step import ScoresStep
from verilora.kernels.cache.kv_pages import FORMATS, KVFormat

from kernel_rows.attention import HEAD_DIM, NUM_HEADS, NUM_ROWS, SCALE, make_cache, prompt, random, with_prefix
from kernel_rows.row import Work

Timed = tuple[str, tuple[int, ...], Work]
FULL = [(64, 4, 3), (64, 4, 5), (64, 2, 3), (64, 2, 5), (32, 1, 3), (32, 2, 3), (32, 4, 3), (128, 4, 3), (64, 1, 3)]
CODED = [(128, 4, 3), (128, 4, 5), (64, 2, 3), (64, 2, 5), (64, 1, 3), (64, 1, 5), (64, 4, 3), (32, 1, 3), (128, 2, 3)]
PREFILL = [(64, 64, 4, 3), (64, 64, 4, 2), (128, 64, 8, 3), (128, 128, 8, 2), (64, 32, 4, 3), (64, 128, 4, 2)]
PREFIX = [(128, 64, 8, 3), (64, 64, 4, 3), (64, 32, 4, 3), (128, 32, 8, 3), (64, 64, 4, 2)]
SCORES = [(64, 64, 4, 3), (64, 64, 4, 2), (128, 64, 4, 3), (128, 64, 8, 3), (64, 32, 4, 3), (128, 128, 8, 3)]


def decode(format: KVFormat, num_slots: int, split_lens: tuple[int, ...], has_scores: bool) -> Iterator[Timed]:
    """Yield decode steps of 32 rows, by split length and configuration."""
    pages, table, lens = make_cache(format, NUM_ROWS, num_slots)
    q, cache = random(NUM_ROWS, NUM_HEADS, HEAD_DIM), LayerCache(pages=pages)
    name = f"decode {format} {num_slots}{' scores' if has_scores else ''}"
    for split_len, config in product(split_lens, FULL if format == "full" else CODED):
        step = DecodeStep(table=table, lens=lens, scale=SCALE, has_scores=has_scores, split_len=split_len)
        work = partial(launch_attention_decode, step, q, cache, config=DecodeConfig(*config))
        yield name, (split_len, *config), work


def prefill(name: str, num_tokens: int, num_before: int, configs: list[tuple[int, ...]]) -> Iterator[Timed]:
    """Yield prefills of one prompt, after a prefix in int4 if any."""
    (step, *inputs), cache = prompt(num_tokens), None
    if num_before:
        step, cache = with_prefix(step, "int4", num_before)
    for config in configs:
        yield name, config, partial(launch_attention_prefill, step, *inputs, cache, config=PrefillConfig(*config))


def prompt_scores(num_tokens: int) -> Iterator[Timed]:
    """Yield second passes over one prompt."""
    prefill, q, keys, values = prompt(num_tokens)
    pages, table, lens = make_cache("full", 1, num_tokens)
    _, lse = attention_prefill(prefill, q, keys, values)
    step = ScoresStep(starts=prefill.starts, table=table, context_lens=lens, scale=SCALE)
    for config in SCORES:
        yield "scores", config, partial(launch_attention_scores, step, q, lse, pages, config=ScoresConfig(*config))


def groups() -> dict[str, Callable[[], Iterator[Timed]]]:
    """Return what is scanned, each made when its turn comes so that one at a time is in memory."""
    found: dict[str, Callable[[], Iterator[Timed]]] = {}
    for format, has_scores in product(FORMATS, (False, True)):
        for num_slots, split_lens in ((8192, (1024, 2048)), (1632, (2048,))):
            found[f"decode {format} {num_slots} {has_scores}"] = (
                lambda format=format, num_slots=num_slots, split_lens=split_lens, has_scores=has_scores: decode(
                    format, num_slots, split_lens, has_scores
                )
            )
    found["prefill"] = lambda: prefill("prefill", 8192, 0, PREFILL)
    found["prefill after int4"] = lambda: prefill("prefill after int4", 2048, 6144, PREFIX)
    found["scores"] = lambda: prompt_scores(8192)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="scan what has this in its name")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    stopwatch, rows = Stopwatch(), []
    for name, make in groups().items():
        if arguments.only in name:
            for what, config, work in make():
                rows.append({"what": what, "config": str(config), "us": stopwatch.time_us(work)[1]})
                print(f"{what} {config} {rows[-1]['us']:.1f}", flush=True)
            torch.cuda.empty_cache()
    if arguments.json:
        machine = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "triton": triton.__version__}
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
