"""Sampling responses from a language model on transformers, with or without a LoRA adapter (PEFT)."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ...specs.files.errors import InputError
from ...specs.vocabulary import Vocabulary
from .decoding import Constraint, Decoding, decode
from .generates import Completion, Sampling
from .language_model import load_adapter, load_model, load_tokenizer, render
from .model_files import model_digest, model_folder, tokenizer_digest
from .prompt import Conversation, PromptStyle

if TYPE_CHECKING:
    from .constrained import StepCompiler


class Generator:
    """A language model and its tokenizer: the embedded model (None), a folder, or a model of the Hugging Face hub.

    Runs in bf16 on a GPU and in fp32 on a CPU. `vocabulary` is needed for constrained sampling only. Raises InputError
    for what cannot be loaded.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        adapter: Path | None = None,
        device: str = "cpu",
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.folder = model_folder(model)
        self.tokenizer: Any = load_tokenizer(self.folder)
        self.model: nn.Module = load_model(self.folder, device, len(self.tokenizer))
        if adapter is not None:
            self.model = load_adapter(self.model, adapter)
        self.adapter = adapter
        self.vocabulary = vocabulary

    @property
    def prompt_style(self) -> PromptStyle:
        """How the model is asked: one that was trained on wordings alone says so in its configuration."""
        return PromptStyle(getattr(self.model.config, "prompt_style", PromptStyle.FULL))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the base model's weights and configuration."""
        return model_digest(self.folder)

    @cached_property
    def tokenizer_digest(self) -> str:
        return tokenizer_digest(self.folder)

    def render(self, conversation: Conversation) -> str:
        """Return a conversation as the text that the model continues."""
        return render(self.tokenizer, self.folder, conversation)

    def sample(self, conversations: Sequence[Conversation], sampling: Sampling, seed: int) -> list[Completion]:
        """Return one response to each conversation, in order, sampled as one batch.

        The same conversations, sampling and seed give the same responses on one machine; no global state is touched.
        """
        if not conversations:
            return []
        rendered = [self.render(conversation) for conversation in conversations]
        prompts: list[list[int]] = self.tokenizer(rendered, add_special_tokens=False)["input_ids"]
        constraint = self._constraint(len(prompts)) if sampling.constrained else None
        try:
            produced = decode(self.model, prompts, self._decoding(sampling), seed, constraint)
        except FloatingPointError as error:
            message = f"cannot be sampled from: {error}; has its training diverged?"
            raise InputError(self.adapter or self.folder, message) from None
        texts = self.tokenizer.batch_decode(produced, skip_special_tokens=True)
        return [
            Completion(text.strip(), len(prompt), len(tokens))
            for text, prompt, tokens in zip(texts, prompts, produced, strict=True)
        ]

    def _decoding(self, sampling: Sampling) -> Decoding:
        return Decoding(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_new_tokens=sampling.max_new_tokens,
            end_ids=self._end_ids,
            banned_ids={self.tokenizer.pad_token_id}.difference(self._end_ids),
        )

    def _constraint(self, num_rows: int) -> Constraint:
        return self._step_compiler.constraint(num_rows)

    @cached_property
    def _step_compiler(self) -> "StepCompiler":
        # Imported here, so that machines without xgrammar can sample freely.
        from .constrained import StepCompiler

        if self.vocabulary is None:
            raise ValueError("constrained sampling needs a vocabulary, got a generator that was made without one")
        vocab_size: int = self.model.get_output_embeddings().weight.shape[0]  # type: ignore[operator]
        return StepCompiler(self.vocabulary, self.tokenizer, vocab_size, self._end_ids)

    @cached_property
    def _end_ids(self) -> list[int]:
        config: Any = self.model.generation_config
        ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
        return sorted({token for token in (*ends, self.tokenizer.eos_token_id) if token is not None})
