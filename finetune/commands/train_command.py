"""What the command `train` does: begin a run, or go on with one."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ...specs.domain import Domain, load_domain
from ...specs.files.errors import InputError
from ...verify.certificates.signature import read_private_key
from ...verify.commands.terminal import console
from ...verify.records.run_directory import specs_folder
from ..pipeline import Pipeline
from ..run.config import TrainConfig
from ..run.run_files import RunFiles
from .train_options import named

RUNS = Path("runs")
STOPPED = 130


def train_new(domain: Domain, config: TrainConfig, path: Path | None, key: Path | None) -> int:
    """Train an adapter in a new directory; return 0, or 130 if it was stopped. Raises InputError."""
    path = path or RUNS / f"{config.task}-{config.rulebook}-{datetime.now():%Y%m%d-%H%M%S}"
    run = RunFiles(path)
    if path.exists() and not path.is_dir():
        raise InputError(path, "is a file: expected a new directory")
    if path.exists() and not run.is_unbegun:
        raise InputError(path, f"is not empty: expected a new directory, or --resume {path} to go on with a run")
    return _train(domain, config, run, key)


def train_resumed(path: Path, asked: Mapping[str, Any], key: Path | None) -> int:
    """Go on with the run in a directory, under its own settings; `asked` are the options that were named again.

    Only the number of processes may differ, on which no result depends, and where the specs are, whose digests must be
    the same. Return 0, or 130 if it was stopped. Raises InputError.
    """
    run = RunFiles(path)
    config = run.read_settings()
    for name, value in {**named(config), "out": path}.items():
        if name in asked and not _is_same(value, asked[name]):
            message = f"a run goes on with its own settings: {name} is {value!s}, got {asked[name]!s}"
            raise InputError(run.config_path, message)
    specs = specs_folder(run.config_path, config.specs, config.task, asked.get("specs"))
    config = replace(config, num_processes=asked.get("processes", config.num_processes), specs=str(specs))
    return _train(load_domain(config.task, specs), config, run, key)


def _train(domain: Domain, config: TrainConfig, run: RunFiles, key: Path | None) -> int:
    if key is not None:
        # Rather now than after training.
        read_private_key(key)
    try:
        Pipeline(domain, domain.rulebook(config.rulebook), config, run, console(), key).execute()
    except KeyboardInterrupt:
        print(f"stopped; {_again(run)}", file=sys.stderr)
        return STOPPED
    except OSError as error:
        message = f"{error.strerror or error}; {_again(run)} when that is mended"
        raise InputError(error.filename or run.path, message) from None
    return 0


def _is_same(setting: object, asked: object) -> bool:
    """Return whether an option says what the run has; a folder may be named in another way."""
    if str(setting) == str(asked):
        return True
    folders = [Path(value) for value in (setting, asked) if isinstance(value, str | Path)]
    return len(folders) == 2 and all(folder.is_dir() for folder in folders) and folders[0].samefile(folders[1])


def _again(run: RunFiles) -> str:
    """Return how a run that was stopped goes on; before its configuration stands there it begins anew."""
    return f"`train --resume {run.path}` goes on" if run.config_path.exists() else "the same command begins again"
