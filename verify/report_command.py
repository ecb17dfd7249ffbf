"""What `verilora report` does."""

from pathlib import Path

from ..specs.domain import load_domain
from ..specs.errors import SpecError
from .render import console
from .report import build_report
from .report_summary import render_summary
from .run_directory import CONFIG, read_run


def report_run(run_dir: Path, specs: Path | None) -> int:
    """Build the report of a run again, print it in short and return 0; raises SpecError for an unusable directory."""
    config = read_run(run_dir).config
    folder = specs or Path(config.specs)
    if not (folder / config.task).is_dir():
        where = f"names {folder / config.task}, which is not there: expected --specs with the folder of task domains"
        raise SpecError(run_dir / CONFIG, where, field="specs")
    domain = load_domain(folder, config.task)
    report = build_report(run_dir, domain, domain.rulebook(config.rulebook))
    console().print(render_summary(report))
    return 0
