"""The embedded base model: a tiny one, pretrained on a synthetic corpus, that lets everything run on two CPU cores."""

from pathlib import Path

EMBEDDED = Path(__file__).parents[1] / "base"
