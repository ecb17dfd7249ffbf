"""What the command `train` does: begin a run, or go on with one."""

from datetime import datetime
from itertools import count
from pathlib import Path

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.files.lock import LOCK, held
from ...specs.files.printable import complain
from ...verify.certificates.signature import read_private_key
from ...verify.commands.terminal import INTERRUPTED, console
from ...verify.records.run import domain_of
from ...verify.records.run_files import RunFiles
from ...verify.reports.findings import rejection
from ...verify.reports.requirements import check_requirements, shortfalls, waived
from ..pipeline import Pipeline
from ..run.config import TrainConfig
from ..run.config_file import read_settings
from .train_options import TrainOptions, resumed

RUNS = Path("runs")


def train_new(domain: Domain, config: TrainConfig, path: Path | None, key: Path | None) -> int:
    """Train an adapter in a new directory, and return 0, 1 if it falls short of what is required, or 130 if stopped.

    Raises InputError.
    """
    if path is None:
        path = new_directory(RUNS / f"{config.task}-{config.rulebook}-{datetime.now():%Y%m%d-%H%M%S}")
    if path.exists() and not path.is_dir():
        raise InputError(path, "is a file: expected a new directory")
    path.mkdir(parents=True, exist_ok=True)
    run = RunFiles(path)
    with held(path):
        if not run.is_unbegun:
            raise InputError(path, f"is not empty: expected a new directory, or --resume {path} to go on with a run")
        try:
            return _train(domain, config, run, key)
        finally:
            # What failed before anything was written leaves nothing.
            if [entry.name for entry in path.iterdir()] == [LOCK]:
                (path / LOCK).unlink()
                path.rmdir()


def train_resumed(path: Path, options: TrainOptions, key: Path | None) -> int:
    """Go on with the run in a directory, under its own settings; `options` are those that were named again.

    Only the number of processes may differ, on which no result depends, and where the specs are, whose digests must be
    the same. Return 0, 1 if it falls short of what is required, or 130 if it was stopped. Raises InputError.
    """
    run = RunFiles(path)
    try:
        config = resumed(options, read_settings(run))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(run.config, str(error)) from None
    if options.out is not None and not (options.out.exists() and options.out.samefile(path)):
        raise InputError(run.config, f"a run goes on where it is: out is {path}, got {options.out}")
    with held(path):
        return _train(domain_of(run, config.task, config.specs), config, run, key)


def new_directory(path: Path) -> Path:
    """Make a directory that nobody else has: of this name or, if another run took it in the same second, the next."""
    for number in count(2):
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            path = path.with_name(f"{path.name.partition('+')[0]}+{number}")
        else:
            break
    return path


def _train(domain: Domain, config: TrainConfig, run: RunFiles, key: Path | None) -> int:
    rulebook = domain.rulebook(config.rulebook)
    check_requirements(config.require, rulebook)
    if key is not None:
        # Rather now than after training.
        read_private_key(key)
    try:
        report = Pipeline(domain, rulebook, config, run, console(), key).execute()
    except KeyboardInterrupt:
        complain(f"stopped; {_again(run)}")
        return INTERRUPTED
    except OSError as error:
        message = f"{error.strerror or error}; {_again(run)} when that is mended"
        raise InputError(error.filename or run.path, message) from None
    evaluation = report.run.evaluation
    missed = [f"required: {shortfall}" for shortfall in shortfalls(config.require, evaluation, rulebook)]
    if evaluation.rejected:
        missed.append(f"rejected: {rejection(report.run)}")
    for sentence in (*(f"waived: {told}" for told in waived(config.require, evaluation, rulebook)), *missed):
        complain(sentence)
    return int(bool(missed))


def _again(run: RunFiles) -> str:
    """Return how a run that was stopped goes on; before its configuration stands there it begins anew."""
    return f"`train --resume {run.path}` goes on" if run.config.exists() else "the same command begins again"
