"""What `verilora report` does."""

from pathlib import Path

from ...specs.domain import load_domain
from ..records.run_directory import CONFIG, read_run, specs_folder
from ..reports.build import build_report
from ..reports.summary import render_summary
from .terminal import console


def report_run(run_dir: Path, specs: Path | None) -> int:
    """Build the report of a run again, print it in short and return 0; raises InputError for an unusable directory."""
    config = read_run(run_dir).config
    domain = load_domain(config.task, specs_folder(run_dir / CONFIG, config.specs, config.task, specs))
    report = build_report(run_dir, domain, domain.rulebook(config.rulebook))
    console().print(render_summary(report))
    return 0
