"""Certifying again: answers sampled and judged as a certificate says."""

from collections.abc import Callable, Sequence

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.rulebook import Rulebook
from ...synth.controllers.controller import Ending, Otherwise, Reading
from ...synth.models.generates import Generates, Sampling
from ...synth.models.prompt import Prompter, PromptStyle
from ..checking.check import Runs
from ..records.digests import CERTIFICATE
from ..records.verdict import Mode, Verdict
from ..verdicts.batch import verify_batch
from ..verdicts.settings import Settings
from ..verdicts.verifier import Verifier
from ..worlds.world import WorldKind
from .certificate import CertifiedSettings
from .content import CertifiedSampling
from .format_1 import OldSettings


def settings_of(certified: CertifiedSettings | OldSettings) -> Settings:
    """Return the settings of a certificate; raises InputError if one is unknown."""
    if isinstance(certified, OldSettings):
        runs = certified.paths
    else:
        runs = certified.runs
        if certified.normaliser or not certified.strict_form:
            message = f"got {certified.normaliser or 'none'!r}: expected text that is read as it stands (strict_form)"
            raise InputError(CERTIFICATE, message, field="settings.normaliser")
    try:
        return Settings(
            world=WorldKind(certified.world),
            mode=Mode(certified.mode),
            runs=Runs(runs),
            reading=Reading(ending=Ending(certified.ending), otherwise=Otherwise(certified.otherwise)),
            max_steps=certified.max_steps,
            time_limit=certified.time_limit,
            witnesses=False,
        )
    except ValueError as error:
        raise InputError(CERTIFICATE, str(error), field="settings") from None


def verify_again(
    generator: Generates,
    domain: Domain,
    rulebook: Rulebook,
    settings: Settings,
    sampling: CertifiedSampling,
    num_processes: int,
    progress: Callable[[int], None],
) -> tuple[list[str], list[Verdict]]:
    """Return answers sampled as a certificate says, in the order of its prompts, and their verdicts.

    Raises InputError.
    """
    prompts = domain.prompts(sampling.splits, sampling.samples_per_prompt)
    if not prompts:
        raise InputError(domain.folder / "tasks.yaml", f"has no {' or '.join(sampling.splits)} wordings to sample")
    texts = _sample(generator, domain, settings.reading, [wording for _, wording in prompts], sampling, progress)
    verifier = Verifier(domain, rulebook, settings)
    questions = [(verifier.parse(text), task) for text, (task, _) in zip(texts, prompts, strict=True)]
    return texts, verify_batch(verifier, questions, min(num_processes, len(questions)))


def _sample(
    generator: Generates,
    domain: Domain,
    reading: Reading,
    wordings: Sequence[str],
    sampling: CertifiedSampling,
    progress: Callable[[int], None],
) -> list[str]:
    try:
        prompter = Prompter(domain, PromptStyle(sampling.prompt_style), reading)
    except ValueError as error:
        raise InputError(CERTIFICATE, str(error), field="sampling.prompt_style") from None
    how = Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_new_tokens=sampling.max_new_tokens,
        constrained=sampling.constrained,
    )
    asked = [prompter.ask(wording) for wording in wordings]
    batches = [asked[first : first + sampling.batch_size] for first in range(0, len(asked), sampling.batch_size)]
    seeds = [sampling.seed + number for number in range(len(batches))]
    texts: list[str] = []
    for batch in generator.sample_batches(batches, how, seeds):
        texts += [completion.text for completion in batch]
        progress(len(texts))
    return texts
