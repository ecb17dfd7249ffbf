"""What `verilora synthesize` does: ask a language model for steps, and judge them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ...specs.domain import Domain
from ...specs.files.printable import complain
from ...specs.rulebook import Rulebook
from ...specs.task import Task
from ...synth.models.generates import Generates, LoadsGenerator, Sampling
from ...synth.models.model_files import ADAPTER_CONFIG
from ..certificates.certificate import Certificate, check_certified, read_certificate
from ..certificates.changes import changes
from ..certificates.content import BaseDigests
from ..certificates.format_1 import OldCertificate
from ..records.digests import CERTIFICATE, domain_digests
from ..verdicts.ranked_answer import RankedAnswer
from ..verdicts.settings import Settings
from ..verdicts.synthesize import asked, synthesize
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


def print_answers(
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
    generator = _generator(request, domain, rulebook, load_generator)
    answers = synthesize(
        domain,
        generator,
        task.id if task else None,
        text=wording,
        rulebook=rulebook,
        settings=settings,
        num_answers=request.num_answers,
        sampling=request.sampling,
        align=request.align,
        seed=request.seed,
    )
    if as_json:
        print(json.dumps(_to_json(wording, task, generator, request, answers), indent=2))
    else:
        console().print(_render(wording, answers, domain, rulebook))
    return answers[0].exit_code(strict=strict)


def _generator(
    request: SynthesisRequest, domain: Domain, rulebook: Rulebook, load_generator: LoadsGenerator
) -> Generates:
    """Return the language model; an adapter with a certificate must be the one that was certified."""
    adapter = request.adapter
    if adapter is not None and not (adapter / ADAPTER_CONFIG).is_file() and (adapter / "adapter").is_dir():
        adapter = adapter / "adapter"
    certificate = read_certificate(adapter) if adapter and (adapter / CERTIFICATE).is_file() else None
    if adapter and certificate:
        check_certified(adapter, certificate)
    generator = load_generator(request.model, adapter=adapter, device=request.device, vocabulary=domain.vocabulary)
    if certificate:
        for change in _stale(certificate, domain, rulebook, generator):
            complain(f"warning: changed since {adapter} was certified: {change}")
    return generator


def _stale(
    certificate: Certificate | OldCertificate, domain: Domain, rulebook: Rulebook, generator: Generates
) -> list[str]:
    """Return what a certificate says nothing of, a line each: a domain, a rulebook or a model that it does not know."""
    if certificate.task != domain.name:
        return [f"the task domain (was {certificate.task}, is {domain.name})"]
    base = BaseDigests(name=certificate.base.name, digest=generator.digest, tokenizer_digest=generator.tokenizer_digest)
    found = changes(certificate, rulebook.name, domain_digests(domain, rulebook), base)
    old = ["the format: issued in format 1, renew with `verilora certify`"]
    return [*(old if isinstance(certificate, OldCertificate) else []), *found]


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
