"""Fixtures for language models."""

from model_fixtures import chat_model, plain_model, smollm2, texts

__all__ = ["chat_model", "plain_model", "smollm2", "texts"]
