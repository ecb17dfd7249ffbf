"""The seam between those who ask a language model and those who run it: any engine that `Generates` can stand there.

Needs no torch. The serving engine stands there (`serving/engine/generator.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...specs.vocabulary import Vocabulary
from .prompt import Conversation, PromptStyle


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How responses are sampled. `constrained` lets only what the grammar of steps allows be written."""

    temperature: float = 0.8
    top_p: float = 1.0
    max_new_tokens: int = 160
    constrained: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature: expected a number from 0 up, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: expected a number over 0 up to 1, got {self.top_p}")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens: expected at least 1, got {self.max_new_tokens}")


@dataclass(frozen=True, slots=True)
class Completion:
    """A response. `num_tokens` counts what was sampled, the token that ends it included."""

    text: str
    num_prompt_tokens: int
    num_tokens: int


class Generates(Protocol):
    """A language model with its tokenizer, perhaps with an adapter."""

    @property
    def folder(self) -> Path:
        """Where the base model's files are: a folder, or a GGUF file."""

    @property
    def prompt_style(self) -> PromptStyle:
        """How the model is asked."""

    @property
    def digest(self) -> str:
        """SHA-256 over the base model's weights and configuration."""

    @property
    def tokenizer_digest(self) -> str:
        """SHA-256 over the tokenizer's files."""

    def sample(self, conversations: Sequence[Conversation], sampling: Sampling, seed: int) -> list[Completion]:
        """Return one response to each conversation, in order; the same arguments give the same on one machine.

        Raises InputError for a model whose logits are not finite, ValueError for a prompt that is too long.
        """

    def sample_batches(
        self, batches: Sequence[Sequence[Conversation]], sampling: Sampling, seeds: Sequence[int]
    ) -> Iterator[list[Completion]]:
        """Yield the responses to each batch, in order, as `sample` gives them with the batch's seed.

        They are computed together: a batch is what it would be alone. Raises what `sample` raises.
        """


class LoadsGenerator(Protocol):
    """Loads a language model: the embedded one (None), a folder, a GGUF file, or one of the hub."""

    def __call__(
        self,
        model: str | Path | None = None,
        *,
        adapter: Path | None = None,
        device: str = "cpu",
        vocabulary: Vocabulary | None = None,
    ) -> Generates:
        """Return the model, with the adapter if one is given; raises InputError for what cannot be loaded.

        `vocabulary` is needed for constrained sampling only.
        """
