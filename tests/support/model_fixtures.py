"""Fixtures for language models."""

from pathlib import Path

import pytest

from verilora.finetune.base.smollm2 import make_smollm2
from verilora.specs.domain import Domain
from verilora.synth.models.prompt import Prompter, PromptStyle

from tiny_models import save_tiny_model, tiny_tokenizer


@pytest.fixture(scope="session")
def texts(driving: Domain) -> list[str]:
    """Return what tokenizers are trained on."""
    wordings = [wording for task in driving.tasks.values() for split in task.wordings.values() for wording in split]
    return [*wordings, Prompter(driving, PromptStyle.FULL).ask("")[0]["content"]]


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """Return the folder of a tiny Llama whose tokenizer has a chat template."""
    return save_tiny_model(tmp_path_factory.mktemp("chat"), tiny_tokenizer(texts), prompt_style="plain")


@pytest.fixture(scope="session")
def plain_model(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """Return the folder of a tiny Llama whose tokenizer has neither a chat template nor a token for padding."""
    return save_tiny_model(tmp_path_factory.mktemp("plain"), tiny_tokenizer(texts, chat=False))


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """Return the folder of a real small model, which is fetched unless it is there; if it cannot be had, tests fail."""
    return make_smollm2()
