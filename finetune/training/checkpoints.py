"""Checkpoints of a trainer that are complete or do not exist.

Transformers resumes silently wrong from a checkpoint without its optimiser state, so a checkpoint is written beside
the others and renamed into place when nothing of it is missing.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ...specs.files.printable import one_line

NEEDED = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
PREFIX = "checkpoint-"


class CompleteCheckpoints:
    """Mix-in for a `transformers.Trainer`: saves by renaming, and keeps the last two checkpoints."""

    args: Any
    accelerator: Any

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self.args.output_dir)
        unfinished = folder / "unfinished"
        if self.args.should_save:
            shutil.rmtree(unfinished, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.args.output_dir = str(unfinished)
        try:
            with writing(unfinished):
                super()._save_checkpoint(model, trial)  # type: ignore[misc]
        finally:
            self.args.output_dir = str(folder)
        # Every process writes its random state.
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            for written in unfinished.glob(f"{PREFIX}*"):
                written.rename(folder / written.name)
            for old in _by_step(folder)[:-2]:
                shutil.rmtree(old)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Let a file that cannot be written, on a full disk for example, be an OSError whoever writes it.

    Safetensors has an error of its own, and torch raises a RuntimeError.
    """
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "inline_container" not in str(error):
            raise
        reason = str(error).partition("\n")[0]
        raise OSError(errno.EIO, f"cannot be written: {reason}", str(folder)) from error


def last_checkpoint(folder: Path) -> Path | None:
    """Return the last complete checkpoint of a folder, None without one; deletes the others, and says which and why."""
    for checkpoint in reversed(_by_step(folder)):
        missing = [name for name in NEEDED if not _is_there(checkpoint, name)]
        if not missing:
            return checkpoint
        lack = f"is incomplete (no {', '.join(missing)})"
        print(f"{one_line(str(checkpoint))} {lack}: what was trained after the one before is redone")
        # Out of the way: the trainer will write one of the same name.
        shutil.rmtree(checkpoint)
    return None


def _is_there(checkpoint: Path, name: str) -> bool:
    # Several processes write one random state each.
    names = [name, "rng_state_0.pth"] if name == "rng_state.pth" else [name]
    return any((checkpoint / name).is_file() and (checkpoint / name).stat().st_size for name in names)


def _by_step(folder: Path) -> list[Path]:
    found = [path for path in folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdecimal()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(PREFIX)))
