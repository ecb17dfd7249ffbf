"""What the command `train` does: begin a run, or go on with one."""

import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ..specs.domain import Domain, load_domain
from ..specs.errors import SpecError
from ..verify.render import console
from .config import TrainConfig
from .options import named
from .pipeline import Pipeline
from .run_files import RunFiles

RUNS = Path("runs")
STOPPED = 130


def train_new(domain: Domain, config: TrainConfig, path: Path | None, key: Path | None) -> int:
    """Train an adapter in a new directory; return 0, or 130 if it was stopped. Raises SpecError."""
    path = path or RUNS / f"{config.task}-{config.rulebook}-{datetime.now():%Y%m%d-%H%M%S}"
    if path.exists() and any(path.iterdir()):
        raise SpecError(path, f"is not empty: expected a new directory, or --resume {path} to go on with a run")
    return _train(domain, config, RunFiles(path), key)


def train_resumed(path: Path, asked: Mapping[str, Any], key: Path | None) -> int:
    """Go on with the run in a directory, under its own settings; `asked` are those that were named again.

    Return 0, or 130 if it was stopped. Raises SpecError.
    """
    run = RunFiles(path)
    config = run.read_settings()
    for name, value in named(config).items():
        if name in asked and str(asked[name]) != str(value):
            message = f"a run goes on with its own settings: {name} is {value!s}, got {asked[name]!s}"
            raise SpecError(run.config_path, message)
    return _train(load_domain(Path(config.specs), config.task), config, run, key)


def _train(domain: Domain, config: TrainConfig, run: RunFiles, key: Path | None) -> int:
    again = f"`train --resume {run.path}` goes on"
    try:
        Pipeline(domain, domain.rulebook(config.rulebook), config, run, console(), key).execute()
    except KeyboardInterrupt:
        print(f"stopped; {again}", file=sys.stderr)
        return STOPPED
    except OSError as error:
        raise SpecError(error.filename or run.path, f"{error.strerror or error}; {again} when that is mended") from None
    return 0
