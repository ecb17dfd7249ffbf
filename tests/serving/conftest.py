"""Fixtures for the serving engine."""

from collections.abc import Iterator

import pytest
import torch

from model_fixtures import chat_model, plain_model, smollm2, texts

__all__ = ["chat_model", "one_thread", "plain_model", "smollm2", "texts"]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread: with more, it divides products by their number of rows."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
