"""The corpus drawn and turned into tokens on several processes, the same for any number of them."""

from collections.abc import Callable
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from ...specs.corpus_description import Corpus
from ...specs.domain import Domain
from ...specs.processes.forked import Forked
from ...specs.rulebook import Rulebook
from ...synth.corpus.corpus import CorpusGenerator, Criticism
from ...synth.corpus.token_corpus import TokenCorpus, concatenate, encode
from ...verify.verdicts.feedback import feedback_of
from ...verify.verdicts.verifier import Verifier


def critical_generator(corpus: Corpus, domain: Domain, rulebook: Rulebook) -> CorpusGenerator:
    """Return a generator whose repair turns tell what the verifier found."""
    verifier = Verifier(domain, rulebook)
    verifier.prepare([domain.tasks[task_id] for task_id, _ in corpus.asked])

    def criticise(task_id: str, steps: str) -> Criticism | None:
        feedback = feedback_of(verifier.verify_text(steps, domain.tasks[task_id]), domain, rulebook)
        # The sentence before the counterexample names the fault.
        return None if feedback is None else Criticism(feedback.partition(" Counterexample:")[0], feedback)

    return CorpusGenerator(corpus, domain, criticise)


def draw_tokens(
    generator: CorpusGenerator, tokenizer: PreTrainedTokenizerFast, seed: int, num_chunks: int, num_processes: int
) -> TokenCorpus:
    """Return the first chunks of a corpus as tokens."""
    if num_processes < 1:
        raise ValueError(f"expected at least 1 process, got {num_processes}")
    numbers = range(num_chunks)
    shares = [numbers[first::num_processes] for first in range(num_processes)]
    children = [Forked(_encode_chunks, generator, tokenizer, seed, share) for share in shares if share]
    chunks: list[TokenCorpus | None] = [None] * num_chunks
    try:
        for first, child in enumerate(children):
            chunks[first::num_processes] = child.result()
    finally:
        for child in children:
            child.end()
    return concatenate([chunk for chunk in chunks if chunk is not None])


def _encode_chunks(
    generator: CorpusGenerator, tokenizer: PreTrainedTokenizerFast, seed: int, numbers: range
) -> list[TokenCorpus]:
    return [encode(generator.chunk(seed, number), tokenizer) for number in numbers]


def cached(path: Path | None, origin: dict[str, object], draw: Callable[[], TokenCorpus]) -> TokenCorpus:
    """Return the corpus in a file, or draw it and keep it there; raises InputError for a file of another origin."""
    if path is not None and path.is_file():
        return TokenCorpus.load(path, origin)
    corpus = draw()
    if path is not None:
        corpus.save(path, origin)
    return corpus
