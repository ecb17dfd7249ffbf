"""The base models that ship: that they belong to their corpora, and how they answer."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from verilora.serving.engine.generator import Generator
from verilora.specs.corpus_description import read_corpus
from verilora.specs.domain import Domain
from verilora.synth.controllers.behaviour import never_moves
from verilora.synth.models.base_model import EMBEDDED_FOLDER
from verilora.synth.models.generates import Sampling
from verilora.synth.models.prompt import Prompter, PromptStyle
from verilora.verify.records.verdict import Verdict
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier

GREENHOUSE = Path(__file__).parents[1] / "data" / "greenhouse-base"
CASES = [
    pytest.param("driving", EMBEDDED_FOLDER, id="driving"),
    pytest.param("greenhouse", GREENHOUSE, id="greenhouse"),
]


def mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)


def judge(domain: Domain, folder: Path, split: str, num_samples: int) -> tuple[Verifier, list[tuple[str, Verdict]]]:
    """Return the answers to the wordings of a split, sampled at temperature 1, with their verdicts."""
    generator = Generator(folder)
    asked = [
        (task, wording)
        for task in domain.tasks.values()
        for name, wordings in task.wordings.items()
        if name == split
        for wording in wordings
        for _ in range(num_samples)
    ]
    prompter = Prompter(domain, generator.prompt_style)
    prompts = [prompter.ask(wording) for _, wording in asked]
    completions = generator.sample(prompts, Sampling(temperature=1.0), seed=7)
    # The corpus of the driving domain was written for the paper's fifteen rules.
    book = domain.rulebook("paper" if "paper" in domain.rulebook_names() else "default")
    verifier = Verifier(domain, book, Settings(witnesses=False))
    return verifier, [
        (completion.text, verifier.verify_text(completion.text, task))
        for completion, (task, _) in zip(completions, asked, strict=True)
    ]


@pytest.mark.parametrize(("name", "folder"), CASES)
def test_a_base_model_belongs_to_the_corpus_that_ships(name: str, folder: Path, request: pytest.FixtureRequest) -> None:
    domain = request.getfixturevalue(name)
    known = json.loads((folder / "pretraining.json").read_text())
    assert known["domain"] == name
    assert known["corpus_digest"] == read_corpus(domain.folder / "corpus.yaml", domain).digest
    assert Generator(folder).prompt_style is PromptStyle.PLAIN


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_embedded_model_answers_with_mixed_success(driving: Domain, split: str) -> None:
    verifier, answers = judge(driving, EMBEDDED_FOLDER, split, 3)
    verdicts = [verdict for _, verdict in answers]
    assert 0.34 <= mean(verdict.compliance for verdict in verdicts) <= 0.52
    assert 0.4 <= mean(verdict.gates_kept for verdict in verdicts) <= 0.64
    assert mean(not verdict.valid for verdict in verdicts) <= 0.08
    assert mean(verdict.all_kept for verdict in verdicts) >= 0.1
    parked = [never_moves(verifier.read(text)) for text, verdict in answers if verdict.valid]
    assert mean(parked) <= 0.15


def test_the_greenhouse_model_answers_with_mixed_success(greenhouse: Domain) -> None:
    _, answers = judge(greenhouse, GREENHOUSE, "train", 40)
    verdicts = [verdict for _, verdict in answers]
    assert 0.4 <= mean(verdict.compliance for verdict in verdicts) <= 0.8
    assert mean(not verdict.valid for verdict in verdicts) <= 0.15
    assert 0.1 <= mean(verdict.all_kept for verdict in verdicts) <= 0.6


def test_repair_turns_are_answered_with_steps(driving: Domain) -> None:
    """After feedback the embedded model writes steps that parse, and other ones than before."""
    generator, prompter = Generator(EMBEDDED_FOLDER), Prompter(driving, PromptStyle.PLAIN)
    verifier = Verifier(driving, driving.rulebook("paper"), Settings(witnesses=False))
    steps = "1. observe car from left\n2. turn right"
    feedback = (
        "This breaks the rule: The car never turns, left or right, while a car comes from the left. "
        "Counterexample: nothing: stop; car from left: turn right. Write the steps again."
    )
    prompt = prompter.repair("Turn right at the traffic light", steps, feedback)
    task = driving.tasks["right-at-traffic-light"]
    texts = [completion.text for completion in generator.sample([prompt] * 60, Sampling(temperature=1.0), seed=1)]
    verdicts = [verifier.verify_text(text, task) for text in texts]
    assert mean(verdict.valid for verdict in verdicts) >= 0.85
    assert mean(verdict.compliance for verdict in verdicts) > 0.45
    assert len(set(texts)) > 20
