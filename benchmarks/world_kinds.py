"""How many verdicts differ between the learned worlds and the abstract ones? `python benchmarks/world_kinds.py`.

Answers of the embedded model (of another with `--model`, `--adapter`) to every wording, and random machines for every
task, are judged in both. Counted is each applicable rule and each gate that both kinds of world have.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from verilora.serving.engine.generator import Generator
from verilora.specs.domain import Domain, load_domain
from verilora.specs.task import Split, Task
from verilora.synth.controllers.steps import InvalidController
from verilora.synth.models.generates import Sampling
from verilora.synth.models.prompt import Prompter
from verilora.verify.records.verdict import Verdict
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Question = tuple[str, Task]


def model_answers(domain: Domain, generator: Generator, per_prompt: int, seed: int) -> Iterator[Question]:
    """Yield answers at temperature 1 with the tasks that were asked."""
    asked = domain.prompts(SPLITS, per_prompt)
    prompter = Prompter(domain, generator.prompt_style)
    told = generator.sample([prompter.ask(wording) for _, wording in asked], Sampling(temperature=1.0), seed)
    for (task, _), completion in zip(asked, told, strict=True):
        yield completion.text, task


def random_answers(domain: Domain, per_task: int) -> Iterator[Question]:
    """Yield steps of random conditions over everything that can change in a task's world, and random actions."""
    words = domain.vocabulary.english
    actions = [words[name] for name in domain.vocabulary.action_ids]
    for number, task in enumerate([*domain.tasks.values()] * per_task):
        random = Random(number)
        free = domain.world(task.world).free
        steps = []
        for _ in range(random.randint(1, 5)):
            literals = [
                f"{random.choice(('', 'no '))}{words[random.choice(free)]}" for _ in range(random.randint(1, 3))
            ]
            branch = f"{random.choice(actions)}, otherwise {random.choice([*actions, 'stay'])}"
            steps.append(f"if {random.choice((' and ', ' or ')).join(literals)}, {branch}")
        steps.append(random.choice([*actions, "go to step 1"]))
        yield "\n".join(f"{place}. {step}" for place, step in enumerate(steps, start=1)), task


def differences(domain: Domain, questions: Iterator[Question]) -> dict[str, int | list[str]]:
    """Return how many verdicts were compared, how many differ, and of which rules and gates these are."""
    kinds = (WorldKind.SIMULATED, WorldKind.ABSTRACT)
    verifiers = [Verifier(domain, settings=Settings(world=kind, witnesses=False)) for kind in kinds]
    differing, compared, answers = Counter[str](), 0, 0
    for text, task in questions:
        try:
            controller = verifiers[0].read(text)
        except InvalidController:
            continue
        learned, abstract = (statuses(verifier.verify(controller, task)) for verifier in verifiers)
        answers += 1
        for name in learned.keys() & abstract.keys():
            compared += 1
            differing[name] += learned[name] != abstract[name]
    found = [f"{name}: {count}" for name, count in differing.most_common() if count]
    return {"answers": answers, "verdicts": compared, "differ": sum(differing.values()), "of": found}


def statuses(verdict: Verdict) -> dict[str, bool]:
    """Return for each applicable rule and each gate whether it is kept."""
    rules = {rule.rule_id: rule.status.is_kept for rule in verdict.deciding}
    return rules | {gate.name: gate.status.is_kept for gate in verdict.gates}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a folder; default: the embedded model")
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--samples", type=int, default=4, help="answers to each wording")
    parser.add_argument("--random", type=int, default=15, help="random controllers for each task")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    domain = load_domain("driving")
    generator = Generator(options.model, adapter=options.adapter)
    print(json.dumps({"model": differences(domain, model_answers(domain, generator, options.samples, options.seed))}))
    print(json.dumps({"random": differences(domain, random_answers(domain, options.random))}))


if __name__ == "__main__":
    main()
