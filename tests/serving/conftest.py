"""Fixtures for language models."""

from model_fixtures import chat_model, plain_model, texts

__all__ = ["chat_model", "plain_model", "texts"]
