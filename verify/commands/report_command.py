"""What `verilora report` does."""

from pathlib import Path

from ..records.run import domain_of, read_run
from ..reports.build import build_report
from ..reports.summary import render_summary
from .terminal import console


def report_run(run_dir: Path, specs: Path | None) -> int:
    """Build the report of a run again, print it in short and return 0; raises InputError for an unusable directory."""
    run = read_run(run_dir)
    config = run.config
    domain = domain_of(run.files, config.task, specs or config.specs)
    report = build_report(run_dir, domain, domain.rulebook(config.rulebook))
    console().print(render_summary(report))
    return 0
