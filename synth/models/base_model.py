"""The embedded base model: a tiny one, pretrained on a synthetic corpus, that lets everything run on two CPU cores."""

from pathlib import Path

EMBEDDED = "embedded"
"""Its name in files, where other models have a path or a hub id."""
EMBEDDED_FOLDER = Path(__file__).parents[1] / "base"
