"""How fast `train` samples on a CPU, on one thread: `python benchmarks/sampling.py --adapter DIR --before CHECKOUT`.

The prompts and batches of training, answered by the engine, by transformers' `generate` and, with `--before`, by what
another checkout of this project samples with. They take turns, round by round, so that a busy machine meets all alike;
figures are tokens a second of CPU time, and their ratios those of medians.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from verilora.serving.engine.generator import Generator
from verilora.specs.domain import SHIPPED, load_domain
from verilora.synth.models.generates import Sampling
from verilora.synth.models.language_model import load_model
from verilora.synth.models.prompt import Conversation, Prompter

BATCH = 135
SAMPLING = Sampling()
# Runs in the other checkout, which knows batches one by one.
BEFORE = """
import json, sys, time
from pathlib import Path
import torch
from verilora.specs.domain import SHIPPED, load_domain
from verilora.synth.models.prompt import Prompter
from verilora.synth.models.generates import Sampling
from verilora.synth.models.generator import Generator
torch.set_num_threads(1)
adapter, batch, candidates = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
generator = Generator(adapter=Path(adapter) if adapter else None)
domain = load_domain("driving", SHIPPED)
prompter = Prompter(domain, generator.prompt_style)
asked = [prompter.ask(wording) for _, wording in domain.prompts(("train",))] * candidates
generator.sample(asked[:8], Sampling(), 0)
wall, cpu, tokens = time.perf_counter(), time.process_time(), 0
for number, first in enumerate(range(0, len(asked), batch)):
    tokens += sum(one.num_tokens for one in generator.sample(asked[first : first + batch], Sampling(), number))
print(json.dumps([tokens, time.process_time() - cpu, time.perf_counter() - wall]))
"""
Timed = tuple[int, float, float]
"""Tokens, seconds of CPU time, seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapter", type=Path, help="one of the embedded model; without it the base alone is measured")
    parser.add_argument("--before", type=Path, help="another checkout of this project")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=6, help="answers to each prompt")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    domain = load_domain("driving", SHIPPED)
    rows: list[dict[str, Any]] = []
    for adapter in (None, options.adapter) if options.adapter else (None,):
        generator = Generator(adapter=adapter)
        prompter = Prompter(domain, generator.prompt_style)
        asked = [prompter.ask(wording) for _, wording in domain.prompts(("train",))] * options.candidates
        ways: dict[str, Callable[[], Timed]] = {
            "engine": lambda generator=generator, asked=asked: engine(generator, asked),
            "generate": lambda generator=generator, asked=asked, adapter=adapter: generate(generator, adapter, asked),
        }
        if options.before:
            ways["before"] = lambda adapter=adapter: before(options.before, adapter, options.candidates)
        rows += measured("adapter" if adapter else "base", ways, options.rounds)
    if options.json:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        found = {
            "commit": commit.stdout.strip(),
            "cpu": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "rows": rows,
        }
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def measured(what: str, ways: dict[str, Callable[[], Timed]], num_rounds: int) -> list[dict[str, Any]]:
    """Return a row for each way, after so many rounds in which each had its turn."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(num_rounds):
        for name, way in ways.items():
            tokens, cpu, wall = way()
            speeds[name].append(tokens / cpu)
            print(f"{what:8}{name:10}{tokens:8} tokens{tokens / cpu:9.0f} a CPU second{tokens / wall:9.0f} a second")
    middle = {name: statistics.median(found) for name, found in speeds.items()}
    for name in ways:
        print(
            f"{what:8}{name:10}{middle[name]:9.0f}  the engine is {middle['engine'] / middle[name]:.2f} times as fast"
        )
    return [
        {"model": what, "way": name, "tokens_per_cpu_second": [round(one) for one in found],
         "engine_is_times_as_fast": round(middle["engine"] / middle[name], 2)}
        for name, found in speeds.items()
    ]  # fmt: skip


def timed(sample: Callable[[], int]) -> Timed:
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = sample()
    return tokens, time.process_time() - cpu, time.perf_counter() - wall


def batches_of(asked: Sequence[Conversation]) -> list[Sequence[Conversation]]:
    return [asked[first : first + BATCH] for first in range(0, len(asked), BATCH)]


def engine(generator: Generator, asked: Sequence[Conversation]) -> Timed:
    batches = batches_of(asked)

    def sample() -> int:
        answered = generator.sample_batches(batches, SAMPLING, range(len(batches)))
        return sum(completion.num_tokens for batch in answered for completion in batch)

    return timed(sample)


def generate(generator: Generator, adapter: Path | None, asked: Sequence[Conversation]) -> Timed:
    """Return the time of transformers' own loop, an adapter merged."""
    chat = generator.chat
    model: Any = load_model(chat.folder, "cpu", len(chat.tokenizer))
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    tokenizer, pad = chat.tokenizer, chat.tokenizer.pad_token_id

    def sample() -> int:
        tokens = 0
        for batch in batches_of(asked):
            texts = [chat.render(conversation) for conversation in batch]
            given = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
            found = model.generate(
                **given,
                do_sample=True,
                temperature=SAMPLING.temperature,
                max_new_tokens=SAMPLING.max_new_tokens,
                eos_token_id=sorted(chat.end_ids),
                pad_token_id=pad,
            )
            tokens += int((found[:, given["input_ids"].shape[1] :] != pad).sum())
        return tokens

    torch.manual_seed(0)
    return timed(sample)


def before(checkout: Path, adapter: Path | None, candidates: int) -> Timed:
    with tempfile.TemporaryDirectory() as site:
        (Path(site) / "verilora").symlink_to(checkout.resolve())
        command = [sys.executable, "-c", BEFORE, str(adapter or ""), str(BATCH), str(candidates)]
        environment = {**os.environ, "PYTHONPATH": site, "OMP_NUM_THREADS": "1"}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=site)
    tokens, cpu, wall = json.loads(run.stdout)
    return tokens, cpu, wall


if __name__ == "__main__":
    main()
