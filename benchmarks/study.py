"""Training studies: seeds, rulebooks, paper mode and controls, several runs side by side, and one table of them all.

    python benchmarks/study.py --out runs/study --jobs default:1 default:2 paper:1 shuffled:1 --parallel 4 --threads 2

A job is a variant and a seed. Runs that are there already are not made again. The table and what it is made from go to
the console and, with --json, into a file.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from train import stage_seconds

from verilora.finetune.answers.samples import read_samples
from verilora.finetune.answers.score import share_of
from verilora.finetune.answers.scored_answer import ScoredAnswer, scored
from verilora.finetune.answers.verdict_cache import VerdictCache
from verilora.specs.domain import SHIPPED, load_domain
from verilora.specs.files.atomic import write_json
from verilora.verify.reports.findings import SPLITS
from verilora.verify.verdicts.verifier import Verifier

VARIANTS: dict[str, list[str]] = {
    "default": [],
    "no-right-on-red": ["--rulebook", "no-right-on-red"],
    "paper": ["--mode", "paper"],
    "shuffled": ["--shuffle-verdicts"],
    "likelihood": ["--loss-type", "sft"],
    "full-baselines": ["--baselines", "full"],
    "grpo": ["--algorithm", "grpo"],
    "one-round": ["--rounds", "1"],
}
# Rules that only the stricter of the two rulebooks has are asked of these tasks.
STRICTER_RULE = "no_right_on_red"


def main() -> None:
    options = _options()
    jobs = [tuple(job.rsplit(":", 1)) for job in options.jobs]
    if not options.collect:
        with ThreadPoolExecutor(options.parallel) as pool:
            list(pool.map(lambda job: _train(options, *job), jobs))
    runs = {f"{variant}:{seed}": _figures(options.out / f"{variant}-{seed}") for variant, seed in jobs}
    result = {"machine": _machine(options), "runs": runs, "rulebooks": _cross(options.out, jobs)}
    _print(runs)
    print(json.dumps(result["rulebooks"], indent=1))
    if options.json:
        write_json(options.json, result)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the runs go")
    parser.add_argument("--jobs", nargs="+", required=True, metavar="VARIANT:SEED", help=", ".join(VARIANTS))
    parser.add_argument("--parallel", type=int, default=1, help="how many runs at a time")
    parser.add_argument("--threads", type=int, default=2, help="processes that verify and drive in each run")
    parser.add_argument("--collect", action="store_true", help="only gather what is there")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("extra", nargs="*", help="after --: further options of every `train`")
    return parser.parse_args()


def _train(options: argparse.Namespace, variant: str, seed: str) -> None:
    out = options.out / f"{variant}-{seed}"
    if (out / "report.json").exists():
        return
    fresh = ["--task", "driving", "--specs", str(SHIPPED), "--seed", seed, "--out", str(out)]
    fresh += ["--processes", str(options.threads), *VARIANTS[variant], *options.extra]
    command = [sys.executable, "-m", "verilora", "train"]
    command += ["--resume", str(out)] if (out / "config.json").exists() else fresh
    env = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "TOKENIZERS_PARALLELISM": "false"}
    begin = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / f"{variant}-{seed}.log").open("w") as log:
        code = subprocess.run(command, env=env, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    print(f"{variant}:{seed} ended with {code} after {time.monotonic() - begin:.0f} s", flush=True)


def _figures(run: Path) -> dict[str, Any] | None:
    if not (run / "eval.json").exists():
        return None
    evaluation = json.loads((run / "eval.json").read_text())
    return {
        "splits": {
            split: {
                when: {
                    name: figure.get("mean", figure.get("share"))
                    for name, figure in scores[when].items()
                    if isinstance(figure, dict) and ("mean" in figure or "share" in figure)
                }
                | {name: scores[when][name] for name in ("distinct_machines", "effective_machines")}
                for when in ("before", "after")
            }
            for split, scores in evaluation["splits"].items()
        },
        "baselines": {
            name: {
                "n": baseline["n"],
                "num_tokens": baseline["num_tokens"],
                **{measure: baseline[measure] for measure in ("compliance", "raw_share", "all_kept")},
            }
            for name, baseline in evaluation["baselines"].items()
        },
        "training_tokens": evaluation["training_tokens"],
        "drive": evaluation["drive"]
        and {
            when: {name: evaluation["drive"][when][name] for name in ("num_episodes", "arrived", "crashed", "at_fault")}
            for when in ("before", "after")
        },
        "alarms": {alarm["name"]: alarm["message"] for alarm in evaluation["alarms"] if alarm["raised"]},
        "seconds": stage_seconds(run),
        "pairs": [entry["pairs"] for entry in evaluation["rounds"]],
    }


def _cross(out: Path, jobs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return how the answers of adapters trained under two rulebooks fare under each: all tasks, and the rule's own."""
    found: dict[str, Any] = {}
    domain = load_domain("driving")
    for judged_under in ("default", "no-right-on-red"):
        verifier = Verifier(domain, domain.rulebook(judged_under))
        for trained_under in ("default", "no-right-on-red"):
            seeds = [seed for variant, seed in jobs if variant == trained_under]
            for when in ("before", "after"):
                answers = [
                    answer for seed in seeds for answer in _judged(out / f"{trained_under}-{seed}", when, verifier)
                ]
                if answers:
                    key = f"{trained_under}, {when}, judged under {judged_under}"
                    found[key] = _under(answers)
    return found


def _judged(run: Path, when: str, verifier: Verifier) -> list[ScoredAnswer]:
    if not (run / "eval.json").exists():
        return []
    rounds = json.loads((run / "eval.json").read_text())["rounds"]
    kept = next(entry["round"] for entry in rounds if entry["kept"])
    path = run / "evaluation" / ("before.jsonl" if when == "before" else f"after-{kept}.jsonl")
    verdicts = VerdictCache(verifier, run / f"cross-{verifier.rulebook.name}.jsonl", 1)
    return scored(read_samples(path), verifier.domain, verdicts)


def _under(answers: Sequence[ScoredAnswer]) -> dict[str, Any]:
    strict = [
        answer
        for answer in answers
        if answer.sample.task_id.startswith("right-at") and "light" in answer.sample.task_id
    ]
    return {
        name: {
            "compliance": mean(answer.verdict.compliance or 0.0 for answer in chosen),
            "all_kept": share_of(chosen, lambda verdict: verdict.all_kept).model_dump(),
        }
        for name, chosen in (("all tasks", answers), ("right turns at lights", strict))
    }


def _print(runs: dict[str, Any]) -> None:
    by_variant: dict[str, list[dict[str, Any]]] = {}
    for name, figures in runs.items():
        if figures is None:
            print(f"{name}: no result")
        else:
            by_variant.setdefault(name.split(":")[0], []).append(figures)
    names = ("compliance", "raw_share", "gate_rate", "all_kept", "invalid", "always_stop")
    print(f"{'variant':16}{'split':12}{'when':8}" + "".join(f"{name:>22}" for name in names))
    for variant, figures in by_variant.items():
        for split in SPLITS:
            for when in ("before", "after"):
                cells = [_spread([figure["splits"][split][when][name] for figure in figures]) for name in names]
                print(f"{variant:16}{split:12}{when:8}" + "".join(f"{cell:>22}" for cell in cells))


def _spread(values: Sequence[float]) -> str:
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    import transformers

    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cores": os.cpu_count(),
        "parallel": options.parallel,
        "threads": options.threads,
    }


if __name__ == "__main__":
    main()
