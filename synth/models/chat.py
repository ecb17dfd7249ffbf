"""How a language model is talked to: its tokenizer, its chat template, where its answers end."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from .language_model import load_tokenizer, render
from .model_config import GenerationConfig, ModelConfig, read_config
from .model_files import GENERATION_CONFIG, described, model_digest, model_folder, tokenizer_digest
from .prompt import Conversation, PromptStyle


class Chat:
    """A language model without its weights: the embedded one (None), a folder, a GGUF file, or one of the hub.

    Raises InputError for what cannot be loaded.
    """

    def __init__(self, model: str | Path | None = None) -> None:
        self.folder = model_folder(model)
        self.tokenizer: Any = load_tokenizer(self.folder)

    @cached_property
    def prompt_style(self) -> PromptStyle:
        """How the model is asked: one that was trained on wordings alone says so in its configuration."""
        return self._config.prompt_style

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the base model's weights and configuration."""
        return model_digest(self.folder)

    @cached_property
    def tokenizer_digest(self) -> str:
        """SHA-256 over the tokenizer's files."""
        return tokenizer_digest(self.folder)

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """The tokens that end an answer: those of the generation config, and the tokenizer's own."""
        path = self.folder / GENERATION_CONFIG
        named = read_config(path, GenerationConfig).eos_token_id if path.exists() else self._config.eos_token_id
        ends = named if isinstance(named, list) else [named]
        return frozenset(token for token in (*ends, self.tokenizer.eos_token_id) if token is not None)

    @property
    def banned_ids(self) -> frozenset[int]:
        """The tokens that no answer holds: that of padding."""
        return frozenset({self.tokenizer.pad_token_id}) - self.end_ids

    def render(self, conversation: Conversation) -> str:
        """Return a conversation as the text that the model continues; raises InputError."""
        return render(self.tokenizer, self.folder, conversation)

    def encode(self, conversations: Sequence[Conversation]) -> list[list[int]]:
        """Return the tokens that the model continues; raises InputError."""
        rendered = [self.render(conversation) for conversation in conversations]
        ids: list[list[int]] = self.tokenizer(rendered, add_special_tokens=False)["input_ids"] if rendered else []
        return ids

    def text(self, token_ids: Sequence[int]) -> str:
        """Return the text of an answer, without special tokens."""
        decoded: str = self.tokenizer.decode(token_ids, skip_special_tokens=True)
        return decoded.strip()

    @cached_property
    def _config(self) -> ModelConfig:
        return described(self.folder)
