"""What certificates of tests are issued over: one answer, as if every prompt had got it."""

from collections.abc import Iterator, Sequence
from typing import Any

from verilora.specs.domain import Domain
from verilora.synth.models.base_model import EMBEDDED_FOLDER
from verilora.synth.models.generates import Completion, Sampling
from verilora.synth.models.model_files import model_digest, tokenizer_digest
from verilora.synth.models.prompt import Conversation, PromptStyle
from verilora.verify.certificates.content import BaseDigests, CertifiedSampling
from verilora.verify.certificates.issue import Measurement
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier

SAMPLING = CertifiedSampling(
    splits=("validation",),
    samples_per_prompt=1,
    batch_size=4,
    prompt_style="plain",
    temperature=0.8,
    top_p=1.0,
    max_new_tokens=160,
    constrained=False,
    device="cpu",
    seed=7,
)
BASE = BaseDigests(name="embedded", digest="a" * 64, tokenizer_digest="b" * 64)


def measurement(domain: Domain, text: str, task_id: str, **fields: Any) -> Measurement:
    """Return a measurement of one answer to each validation prompt of a domain, all the same."""
    book, settings = domain.rulebook(), Settings(witnesses=False)
    verdict = Verifier(domain, book, settings).verify_text(text, domain.task(task_id))
    num_prompts = len(domain.prompts(SAMPLING.splits, SAMPLING.samples_per_prompt))
    return Measurement(
        **{
            "domain": domain,
            "rulebook": book,
            "settings": settings,
            "base": BASE,
            "sampling": SAMPLING,
            "texts": [text] * num_prompts,
            "verdicts": [verdict] * num_prompts,
            **fields,
        }
    )


class Fixed:
    """A language model that always writes the same."""

    folder = EMBEDDED_FOLDER
    prompt_style = PromptStyle.PLAIN
    digest = model_digest(EMBEDDED_FOLDER)
    tokenizer_digest = tokenizer_digest(EMBEDDED_FOLDER)

    def __init__(self, text: str) -> None:
        self.text = text

    def sample(self, conversations: Sequence[Conversation], sampling: Sampling, seed: int) -> list[Completion]:
        return [Completion(self.text, 1, 1) for _ in conversations]

    def sample_batches(
        self, batches: Sequence[Sequence[Conversation]], sampling: Sampling, seeds: Sequence[int]
    ) -> Iterator[list[Completion]]:
        return (self.sample(batch, sampling, seed) for batch, seed in zip(batches, seeds, strict=True))
