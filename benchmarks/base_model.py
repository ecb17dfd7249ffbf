"""How a model answers, adapter or not: `python benchmarks/base_model.py [MODEL] --temperatures 0.7 0.8 1.0`.

Samples every wording of every split at several temperatures and judges the answers as the main job does.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from verilora.serving.engine.generator import Generator
from verilora.specs.domain import SHIPPED, Domain, load_domain
from verilora.specs.task import Task
from verilora.synth.controllers.behaviour import behaviour_digest, never_moves
from verilora.synth.models.generates import Sampling
from verilora.synth.models.prompt import Prompter
from verilora.verify.records.verdict import Verdict
from verilora.verify.reports.findings import SPLITS
from verilora.verify.verdicts.batch import verify_batch
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier

BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Shares of the answers to one split at one temperature."""

    split: str
    temperature: float
    rulebook: str
    answers: int
    tokens: float
    compliance: float
    gates: float
    all_kept: float
    unparsable: float
    always_stop: float
    machines: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", help="a folder; default: the embedded model")
    parser.add_argument("--adapter", type=Path, help="a LoRA adapter of the model")
    parser.add_argument("--task", default="driving")
    parser.add_argument("--specs", type=Path, default=SHIPPED)
    parser.add_argument("--rulebooks", nargs="+", default=["default"])
    parser.add_argument("--temperatures", nargs="+", type=float, default=[0.7, 0.8, 1.0])
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--splits", nargs="+", default=SPLITS, choices=SPLITS)
    parser.add_argument("--samples", type=int, default=4, help="answers to each wording")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processes", type=int, default=1, help="that judge")
    parser.add_argument("--show", type=int, default=0, help="how many answers of each row to print")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    domain = load_domain(options.task, options.specs)
    generator = Generator(options.model, adapter=options.adapter, device=options.device)
    verifiers = [Verifier(domain, domain.rulebook(name), Settings(witnesses=False)) for name in options.rulebooks]
    rows = []
    print(f"{'split':11}{'T':>5} {'rulebook':16}{'n':>6}{'tokens':>7}{'compl':>7}{'gates':>7}{'all':>7}{'unpars':>7}"
          f"{'stop':>7}{'machines':>9}{'s':>6}")  # fmt: skip
    for temperature in options.temperatures:
        for split in options.splits:
            asked = list(prompts(domain, split, options.samples))
            started = time.perf_counter()
            sampling = Sampling(temperature=temperature, top_p=options.top_p)
            texts, num_tokens = sample(generator, domain, asked, sampling, options.seed)
            seconds = time.perf_counter() - started
            for verifier in verifiers:
                questions = [(verifier.parse(text), task) for text, (task, _) in zip(texts, asked, strict=True)]
                verdicts = verify_batch(verifier, questions, options.processes)
                row = summarise(split, temperature, verifier, texts, verdicts, num_tokens, seconds)
                rows.append(row)
                print(
                    f"{row.split:11}{row.temperature:5} {row.rulebook:16}{row.answers:6}{row.tokens:7.1f}"
                    f"{row.compliance:7.3f}{row.gates:7.3f}{row.all_kept:7.3f}{row.unparsable:7.3f}"
                    f"{row.always_stop:7.3f}{row.machines:9}{row.seconds:6.1f}",
                    flush=True,
                )
            for (task, wording), text, verdict in list(zip(asked, texts, verdicts, strict=True))[: options.show]:
                print(f"\n[{task.id}: {verdict.compliance or 0:.2f} {verdict.invalid}] {wording}\n{text}")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


def prompts(domain: Domain, split: str, num_samples: int) -> Iterator[tuple[Task, str]]:
    for task in domain.tasks.values():
        for name, wordings in task.wordings.items():
            if name == split:
                yield from ((task, wording) for wording in wordings for _ in range(num_samples))


def sample(
    generator: Generator, domain: Domain, asked: Sequence[tuple[Task, str]], sampling: Sampling, seed: int
) -> tuple[list[str], int]:
    """Return the answers and how many tokens they have."""
    prompter = Prompter(domain, generator.prompt_style)
    completions = [
        completion
        for number, first in enumerate(range(0, len(asked), BATCH))
        for completion in generator.sample(
            [prompter.ask(wording) for _, wording in asked[first : first + BATCH]], sampling, seed * 1000 + number
        )
    ]
    return [completion.text for completion in completions], sum(completion.num_tokens for completion in completions)


def summarise(
    split: str,
    temperature: float,
    verifier: Verifier,
    texts: Sequence[str],
    verdicts: Sequence[Verdict],
    num_tokens: int,
    seconds: float,
) -> Row:
    controllers = [verifier.read(text) for text, verdict in zip(texts, verdicts, strict=True) if verdict.valid]
    return Row(
        split=split,
        temperature=temperature,
        rulebook=verifier.rulebook.name,
        answers=len(texts),
        tokens=num_tokens / len(texts),
        compliance=mean(verdict.compliance or 0.0 for verdict in verdicts),
        gates=mean(verdict.gates_kept for verdict in verdicts),
        all_kept=mean(verdict.all_kept for verdict in verdicts),
        unparsable=mean(not verdict.valid for verdict in verdicts),
        always_stop=sum(map(never_moves, controllers)) / len(texts),
        machines=len(set(map(behaviour_digest, controllers))),
        seconds=seconds,
    )


def mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)


if __name__ == "__main__":
    main()
