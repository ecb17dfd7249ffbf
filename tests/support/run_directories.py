"""Run directories for tests: answers of mixed quality, really judged, really driven; all numbers are counted from them.

Only the language model is missing. Its answers are drawn from templates, after training more often from good ones, and
training is DPO (Rafailov et al., 2023) on a table with one parameter for each pair of task and kind of answer.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log1p
from pathlib import Path
from typing import Any

from verilora.envs.policy import ControllerPolicy
from verilora.envs.replay import save_replay
from verilora.specs.domain import Domain
from verilora.specs.rulebook import Rulebook
from verilora.specs.task import Split, Task
from verilora.verify.audits.audit import FIRST_SEED, audit_episodes, goal_monitor, run_controller
from verilora.verify.checking.compiled import Compiler
from verilora.verify.checking.trace import TraceChecker
from verilora.verify.records.digests import domain_digests
from verilora.verify.records.evaluation import Mean, Share
from verilora.verify.records.verdict import Mode, Status, Verdict
from verilora.verify.records.versions import versions
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier

KINDS = ("good", "forgetful", "hasty", "inverted", "other", "idle", "vague")
BEFORE = (14, 22, 18, 12, 12, 12, 10)
AFTER = (70, 14, 6, 3, 3, 2, 2)
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sampled:
    """An answer and its verdict."""

    task: Task
    wording: str
    kind: str
    text: str
    verdict: Verdict


def answer(task: Task, kind: str, domain: Domain) -> str:
    """Return an answer of some kind: what an ideal, forgetful, hasty, … writer would say."""
    english, idle = domain.vocabulary.english, domain.vocabulary.idle
    goal = next(name for name in domain.vocabulary.action_ids if name in task.goal.propositions - {idle})
    action = english[goal]
    terms = [english[name] if name.startswith("green") else f"no {english[name]}" for name in task.relevant]
    condition = " and ".join(terms)
    others = [english[name] for name in domain.vocabulary.action_ids if name not in (goal, idle)]
    return {
        "good": f"1. wait until {condition} then {action}\n2. {english[idle]}\n3. go to step 1",
        "forgetful": f"1. observe {english[task.relevant[0]]}\n2. if {terms[-1]}, {action}, otherwise stay",
        "hasty": f"1. wait until {terms[0]}\n2. {action}\n3. {english[idle]}",
        "inverted": f"1. if {english[task.relevant[0]]}, {action}, otherwise stay\n2. {english[idle]}",
        "other": f"1. wait until {condition} then {others[0]}\n2. {action}",
        "idle": f"1. observe {english[task.relevant[0]]}\n2. {english[idle]}\n3. go to step 1",
        "vague": f"1. be careful\n2. {action} when <safe>",
    }[kind]


def write_run(
    folder: Path,
    domain: Domain,
    rulebook: Rulebook,
    *,
    mode: Mode = Mode.GATED,
    per_prompt: int = 2,
    task_ids: Sequence[str] = (),
    num_episodes: int = 0,
    config: Json | None = None,
) -> Path:
    """Write a run directory and return it."""
    settings = Settings(mode=mode) if mode is Mode.GATED else paper_settings()
    verifier = Verifier(domain, rulebook, settings)
    tasks = [domain.task(task_id) for task_id in task_ids] or list(domain.tasks.values())
    before = _sample(verifier, tasks, per_prompt, BEFORE, 1)
    after = _sample(verifier, tasks, per_prompt, AFTER, 2)
    folder.mkdir(parents=True, exist_ok=True)
    splits = {
        split: {"before": score(before[split], verifier), "after": score(after[split], verifier)} for split in before
    }
    hardest = list(before)[-1]
    tries = {
        split: [answers[at : at + per_prompt] for at in range(0, len(answers), per_prompt)]
        for split, answers in before.items()
    }
    best = [max(group, key=lambda found: found.verdict.rank) for group in tries[hardest]]
    evaluation = {
        "splits": splits,
        "baselines": {
            "base": _baseline(hardest, 1, before[hardest], before[hardest], verifier),
            "best_of_n": _baseline(hardest, per_prompt, best, before[hardest], verifier),
            "dpo": _baseline(hardest, 1, after[hardest], after[hardest], verifier),
        },
        "drive": _drive(before[hardest], after[hardest], verifier, num_episodes) if num_episodes else None,
        "violations": list(_violations(folder, after[hardest], verifier, num_episodes)),
        "examples": _examples(before[hardest], after[hardest]),
        "alarms": [
            {"name": "reward-saturated", "message": "no sign of it", "raised": False},
            {"name": "always-stop-rising", "message": "no sign of it", "raised": False},
        ],
        "rounds": [{"round": 1, "pairs": 1, "validation": splits[hardest]["after"]["compliance"], "kept": True}],
        "constrained": None,
    }
    rows, num_pairs = _train([found for answers in before.values() for found in answers])
    evaluation["rounds"][0]["pairs"] = num_pairs
    (folder / "eval.json").write_text(json.dumps(evaluation, indent=1))
    (folder / "training.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.json").write_text(json.dumps({**_config(domain, rulebook, settings), **(config or {})}, indent=1))
    return folder


def paper_settings() -> Settings:
    """Return the settings of paper mode."""
    return Settings.of(Mode.PAPER)


def share(groups: Sequence[Sequence[bool]]) -> Json:
    """Return a share of what was found in groups."""
    return Share.counted(list(map(sum, groups)), list(map(len, groups))).model_dump(mode="json")


def by_prompt(answers: Sequence[Sampled]) -> list[list[Sampled]]:
    """Return answers by prompt."""
    prompts: dict[tuple[str, str], list[Sampled]] = {}
    for found in answers:
        prompts.setdefault((found.task.id, found.wording), []).append(found)
    return list(prompts.values())


def mean(answers: Sequence[Sampled], value: Callable[[Verdict], float]) -> Json:
    """Return a mean over answers."""
    groups = by_prompt(answers)
    sums = [sum(value(found.verdict) for found in group) for group in groups]
    return Mean.of(sums, list(map(len, groups))).model_dump(mode="json")


def score(answers: Sequence[Sampled], verifier: Verifier) -> Json:
    """Return what answers are worth, as `eval.json` has it."""
    verdicts = [found.verdict for found in answers]
    groups = by_prompt(answers)

    def counted(holds: Callable[[Sampled], bool]) -> Json:
        return share([[holds(found) for found in group] for group in groups])

    rules = {}
    for rule in verifier.rulebook.rules:
        by_group = [
            [found.status for entry in group for found in entry.verdict.deciding if found.rule_id == rule.id]
            for group in groups
        ]
        statuses = [status for group in by_group for status in group]
        kept = [status.is_kept for status in statuses]
        rules[rule.id] = {
            "applicable": len(kept),
            "kept": sum(kept),
            "observed": statuses.count(Status.OBSERVED),
            "violated": len(kept) - sum(kept) - statuses.count(Status.INVALID),
            "share": share([[status.is_kept for status in group] for group in by_group]),
        }
    return {
        "num_responses": len(answers),
        "num_prompts": len(groups),
        "num_tokens": sum(len(found.text.split()) for found in answers),
        "compliance": mean(answers, lambda verdict: verdict.compliance),
        "decided": mean(answers, lambda verdict: verdict.decided_share),
        "raw_share": mean(answers, lambda verdict: verdict.raw_kept / len(verdict.rules)),
        "gate_rate": counted(lambda found: found.verdict.gates_kept),
        "all_kept": counted(lambda found: found.verdict.all_kept),
        "invalid": counted(lambda found: not found.verdict.valid),
        "vacuous": counted(lambda found: any(rule.vacuous for rule in found.verdict.deciding)),
        "always_stop": counted(lambda found: found.kind == "idle"),
        "observed_only": counted(lambda found: found.verdict.all_kept and found.verdict.exit_code(strict=True) == 1),
        "distinct_machines": len({(found.task.id, found.text) for found in answers if found.verdict.valid}),
        "effective_machines": 3.5,
        "mean_steps": _average([verdict.num_steps for verdict in verdicts if verdict.valid]),
        "rules": rules,
        "tasks": {},
        "timely": share([[found.verdict.is_timely for found in _replayed(group)] for group in groups]),
        "timely_share": Mean.of(
            [sum(found.verdict.timely_share or 0.0 for found in _replayed(group)) for group in groups],
            [len(_replayed(group)) for group in groups],
        ).model_dump(mode="json"),
    }


def _replayed(answers: Sequence[Sampled]) -> list[Sampled]:
    return [found for found in answers if found.verdict.timely_share is not None]


def _sample(
    verifier: Verifier, tasks: Sequence[Task], per_prompt: int, weights: Sequence[int], seed: int
) -> dict[Split, list[Sampled]]:
    rng = random.Random(seed)
    known: dict[tuple[str, str], Verdict] = {}
    splits: dict[Split, list[Sampled]] = {}
    for split in ("train", "validation", "test"):
        for task in tasks:
            for wording in task.wordings.get(split, ()):
                for kind in rng.choices(KINDS, weights, k=per_prompt):
                    text = answer(task, kind, verifier.domain)
                    if (task.id, text) not in known:
                        known[task.id, text] = verifier.verify_text(text, task)
                    found = Sampled(task, wording, kind, text, known[task.id, text])
                    splits.setdefault(split, []).append(found)
    return splits


def _baseline(split: Split, n: int, answers: Sequence[Sampled], spent: Sequence[Sampled], verifier: Verifier) -> Json:
    found = score(answers, verifier)
    cost = {"num_responses": len(spent), "num_tokens": sum(len(entry.text.split()) for entry in spent)}
    return {
        "split": split,
        "n": n,
        **cost,
        **{name: found[name] for name in ("compliance", "raw_share", "all_kept", "gate_rate")},
    }


def _examples(before: Sequence[Sampled], after: Sequence[Sampled]) -> list[Json]:
    pairs = [pair for pair in zip(before, after, strict=True) if not pair[0].verdict.all_kept]
    pairs.sort(key=lambda pair: pair[1].verdict.compliance - pair[0].verdict.compliance, reverse=True)
    chosen = list({pair[0].kind: pair for pair in reversed(pairs)}.values())[:3]
    return [
        {
            "task": first.task.id,
            "wording": first.wording,
            "before": {"text": first.text, "verdict": first.verdict.to_json()},
            "after": {"text": second.text, "verdict": second.verdict.to_json()},
        }
        for first, second in chosen
    ]


def _violations(folder: Path, answers: Sequence[Sampled], verifier: Verifier, num_episodes: int) -> Any:
    shown: dict[str, list[Sampled]] = {}
    for found in answers:
        for rule in found.verdict.deciding:
            if rule.status is Status.VIOLATED:
                shown.setdefault(rule.rule_id, []).append(found)
    for rule_id, broken in list(shown.items())[:3]:
        found = broken[0]
        replay = _replay(folder, found, rule_id, verifier, num_episodes) if num_episodes else None
        yield {
            "when": "after",
            "task": found.task.id,
            "wording": found.wording,
            "text": found.text,
            "verdict": found.verdict.to_json(),
            "rule": rule_id,
            "num_answers": len(broken),
            "replay": replay,
        }


def _replay(folder: Path, found: Sampled, rule_id: str, verifier: Verifier, num_episodes: int) -> Json:
    audit = _audit(found, verifier, num_episodes)
    seeds = next(rule.violated_in for rule in audit.rules if rule.rule_id == rule_id)
    if not seeds:
        return {"seed": None, "searched": num_episodes}
    name, domain = f"replays/{rule_id}.gif", verifier.domain
    policy = ControllerPolicy(verifier.read(found.text))
    save_replay(folder / name, found.task.world, policy, seeds[0], domain.vocabulary, found.text.splitlines())
    return {"seed": seeds[0], "gif": name, "searched": seeds[0] - FIRST_SEED + 1}


def _audit(found: Sampled, verifier: Verifier, num_episodes: int) -> Any:
    vocabulary, rulebook = verifier.domain.vocabulary, verifier.rulebook
    seeds = range(FIRST_SEED, FIRST_SEED + num_episodes)
    episodes = run_controller(found.text, found.task.world, seeds, vocabulary, verifier.settings.reading)
    compiler = Compiler()
    checker = TraceChecker({rule.id: rule.formula for rule in rulebook.rules}, compiler)
    goal = goal_monitor(found.task.goal, compiler)
    return audit_episodes(found.task.world, episodes, rulebook, checker, goal, vocabulary.idle)


def _drive(before: Sequence[Sampled], after: Sequence[Sampled], verifier: Verifier, num_episodes: int) -> Json:
    return {"before": _driven(before, verifier, num_episodes), "after": _driven(after, verifier, num_episodes)}


def _driven(answers: Sequence[Sampled], verifier: Verifier, num_episodes: int) -> Json:
    chosen = list({found.task.world: found for found in answers if found.verdict.valid}.values())
    audits = [_audit(found, verifier, num_episodes) for found in chosen]
    total = sum(audit.num_episodes for audit in audits)

    def counted(counts: Sequence[int]) -> Json:
        return Share.counted(counts, [audit.num_episodes for audit in audits]).model_dump(mode="json")

    def ended(name: str) -> Json:
        return counted([getattr(audit, name) for audit in audits])

    rules = {}
    for rows in zip(*(audit.rules for audit in audits), strict=True):
        counts = {name: sum(getattr(row, name) for row in rows) for name in ("kept", "pending", "violated")}
        rules[rows[0].rule_id] = {**counts, "share_violated": counted([row.violated for row in rows])}
    ends = {name: ended(f"num_{name}") for name in ("arrived", "crashed", "at_fault")}
    return {"num_controllers": len(chosen), "num_episodes": total, "seconds_limit": 110.0, **ends, "rules": rules}


def _train(answers: Sequence[Sampled]) -> tuple[list[Json], int]:
    """Return what DPO on a table logs, and the number of pairs."""
    rng, beta, rate = random.Random(3), 0.4, 0.5
    by_task: dict[str, list[Sampled]] = {}
    for found in answers:
        by_task.setdefault(found.task.id, []).append(found)
    pairs = [
        (better, worse)
        for group in by_task.values()
        for better, worse in (
            sorted(rng.sample(group, 2), key=lambda one: one.verdict.rank, reverse=True) for _ in group
        )
        if better.verdict.rank > worse.verdict.rank
    ]
    table: dict[tuple[str, str], float] = {}
    rows = []
    for step in range(1, 61):
        batch = rng.sample(pairs, min(16, len(pairs)))
        margins = [
            beta * (table.get((one.task.id, one.kind), 0.0) - table.get((two.task.id, two.kind), 0.0))
            for one, two in batch
        ]
        losses = [log1p(exp(-margin)) for margin in margins]
        won = _average([float(margin > 0) for margin in margins])
        rows.append({"round": 1, "step": step, "loss": _average(losses), "accuracy": won, "margin": _average(margins)})
        for (one, two), margin in zip(batch, margins, strict=True):
            push = rate * beta / (1 + exp(margin))
            table[one.task.id, one.kind] = table.get((one.task.id, one.kind), 0.0) + push
            table[two.task.id, two.kind] = table.get((two.task.id, two.kind), 0.0) - push
    return rows, len(pairs)


def _config(domain: Domain, rulebook: Rulebook, settings: Settings) -> Json:
    digests = domain_digests(domain, rulebook)
    return {
        "task": domain.name,
        "specs": str(domain.folder.parent),
        "rulebook": rulebook.name,
        "model": None,
        "world": settings.world,
        "mode": settings.mode,
        "ending": settings.reading.ending,
        "otherwise": settings.reading.otherwise,
        "seed": 0,
        "samples": 16,
        "temperature": 0.8,
        "top_p": 1.0,
        "constrained": False,
        "algorithm": "dpo",
        "require": [],
        "pairs": {"shuffle": False},
        "grpo": {"num_steps": 60, "batch_size": 64},
        "rulebook_digest": digests.rulebook,
        "sentences_digest": rulebook.sentences_digest,
        "tasks_digest": digests.tasks,
        "worlds": digests.worlds,
        "recordings": digests.recordings,
        "model_digest": "0" * 64,
        "tokenizer_digest": "0" * 64,
        "versions": versions(),
        "started": "2026-01-01T00:00:00+00:00",
    }


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
