"""What `verilora synthesize` does: ask a language model for steps, and judge them."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.phrase import tokenize
from ...specs.rulebook import Rulebook
from ...specs.task import Task
from ...synth.models.aligned_sampling import sample_aligned
from ...synth.models.generates import Completion, Generates, LoadsGenerator, Sampling
from ...synth.models.model_files import ADAPTER_CONFIG
from ...synth.models.prompt import Prompter, PromptStyle
from ..certificates.certificate import check_certified, read_certificate
from ..records.digests import CERTIFICATE
from ..verdicts.ranked_answer import RankedAnswer, rank_answers
from ..verdicts.verifier import Settings, Verifier
from .render_verdict import render_verdict
from .terminal import console


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisRequest:
    """What is asked: in the words of `text`, judged as the task `task_id`; either may be None."""

    task_id: str | None
    text: str | None
    model: str | None = None
    adapter: Path | None = None
    device: str = "cpu"
    num_answers: int = 1
    sampling: Sampling
    align: bool = False
    seed: int = 0


def synthesize(
    domain: Domain,
    rulebook: Rulebook,
    settings: Settings,
    request: SynthesisRequest,
    load_generator: LoadsGenerator,
    *,
    as_json: bool,
    strict: bool,
) -> int:
    """Print answers with their verdicts, the best first, and return the exit code of the best; raises InputError."""
    task, wording = asked(domain, request.task_id, request.text)
    generator = _generator(request, domain, load_generator)
    prompter = Prompter(domain, generator.prompt_style, settings.reading)
    completions = _sample(generator, prompter, wording, request)
    verifier = Verifier(domain, rulebook, settings)
    answers = rank_answers((completion.text for completion in completions), task, verifier)
    if as_json:
        print(json.dumps(_to_json(wording, task, generator, request, answers), indent=2))
    else:
        console().print(_render(wording, answers, domain, rulebook))
    return answers[0].exit_code(strict=strict)


def asked(domain: Domain, task_id: str | None, text: str | None) -> tuple[Task | None, str]:
    """Return the task as which answers are judged, and the words to ask in; raises InputError.

    A text that is a task's wording needs no task id; for any other text without one there is no task.
    """
    if text is not None and not text.strip():
        raise InputError("--text", "expected words, got none")
    if task_id is not None:
        task = domain.task(task_id)
        return task, text or next(iter(task.wordings.values()))[0]
    if text is None:
        ids = "\n  ".join(domain.tasks)
        raise InputError("synthesize", f"nothing to ask: expected --text or --for ID with one of\n  {ids}")
    known = [task for task in domain.tasks.values() if _words(text) in map(_words, _wordings(task))]
    return (known[0] if len(known) == 1 else None), text


def _wordings(task: Task) -> list[str]:
    return [task.english, *(wording for wordings in task.wordings.values() for wording in wordings)]


def _words(text: str) -> list[str]:
    return [token for token in tokenize(text) if token.isalnum()]


def _generator(request: SynthesisRequest, domain: Domain, load_generator: LoadsGenerator) -> Generates:
    """Return the language model; an adapter with a certificate must be the one that was certified."""
    adapter = request.adapter
    if adapter is not None and not (adapter / ADAPTER_CONFIG).is_file() and (adapter / "adapter").is_dir():
        adapter = adapter / "adapter"
    certificate = read_certificate(adapter) if adapter and (adapter / CERTIFICATE).is_file() else None
    if adapter and certificate:
        check_certified(adapter, certificate)
    generator = load_generator(request.model, adapter=adapter, device=request.device, vocabulary=domain.vocabulary)
    if certificate and certificate.base.digest != generator.digest:
        print(f"warning: {adapter} was certified on another base model, {certificate.base.name}", file=sys.stderr)
    return generator


def _sample(generator: Generates, prompter: Prompter, wording: str, request: SynthesisRequest) -> list[Completion]:
    if request.align and prompter.style is PromptStyle.PLAIN:
        message = "was trained to answer in the vocabulary: --align asks a general model (--model) twice"
        raise InputError(generator.folder, message)
    wordings = [wording] * request.num_answers
    try:
        if request.align:
            return sample_aligned(generator, prompter, wordings, request.sampling, request.seed)
        return generator.sample([prompter.ask(words) for words in wordings], request.sampling, request.seed)
    except ValueError as error:
        raise InputError(generator.folder, str(error)) from None


def _to_json(
    wording: str, task: Task | None, generator: Generates, request: SynthesisRequest, answers: Sequence[RankedAnswer]
) -> dict[str, Any]:
    return {
        "wording": wording,
        "task_id": task.id if task else None,
        "model": request.model,
        "model_digest": generator.digest,
        "adapter": str(request.adapter) if request.adapter else None,
        "seed": request.seed,
        "num_answers": request.num_answers,
        "answers": [answer.to_json() for answer in answers],
    }


def _render(wording: str, answers: Sequence[RankedAnswer], domain: Domain, rulebook: Rulebook) -> RenderableType:
    parts: list[RenderableType] = [Text.assemble("asked: ", (wording, "bold"), "\n")]
    for number, answer in enumerate(answers, start=1):
        times = f", given {answer.count} times" if answer.count > 1 else ""
        parts.append(Text(f"answer {number} of {len(answers)}{times}", style="bold"))
        parts.append(Padding(Text(answer.text or "(nothing)"), (0, 0, 0, 2), expand=False))
        if answer.verdict:
            parts.append(render_verdict("", answer.verdict, answer.text, domain, rulebook))
        elif answer.invalid:
            parts.append(Text(f"\nINVALID: {answer.invalid}\n", style="bold red"))
        else:
            parts.append(Text("\nread as a controller, not judged\n", style="yellow"))
    return Group(*parts, _summary(answers))


def _summary(answers: Sequence[RankedAnswer]) -> Text:
    total = sum(answer.count for answer in answers)
    counted = "1 answer" if total == 1 else f"{total} answers"
    invalid = sum(answer.count for answer in answers if answer.invalid)
    if answers[0].verdict is None:
        reason = "these words are no task's wording, so there is no world to judge in and no goal; --for names the task"
        return Text(f"{counted}, {invalid} invalid, none judged: {reason}", style="yellow")
    kept = sum(answer.count for answer in answers if answer.verdict and answer.verdict.all_kept)
    return Text(f"{counted}: {kept} keep all rules and gates, {invalid} invalid")
