"""The folders of a server's adapters: each named by its digest, and a place for what is not complete yet."""

import re
import shutil
from collections.abc import Collection
from pathlib import Path

from .ingestion.ingest import UNFINISHED

_DIGEST = re.compile("[0-9a-f]{64}")


def prepare(store: Path, used: Collection[str]) -> None:
    """Make the folder of all adapters, and remove from it what a kill has left and what no adapter uses any more.

    Called before anything is served: running requests may read a retired adapter again. What is called otherwise than
    our own folders is somebody else's, and stays.
    """
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in store.iterdir():
        if path.name == UNFINISHED or (_DIGEST.fullmatch(path.name) and path.name not in used):
            shutil.rmtree(path, ignore_errors=True)


def forget_unfinished(store: Path, token: str) -> None:
    """Remove what a job has left that was killed."""
    shutil.rmtree(store / UNFINISHED / token, ignore_errors=True)
