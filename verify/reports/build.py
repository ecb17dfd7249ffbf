"""Building a report: its three forms, written into the directory of the run."""

import json
from pathlib import Path

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.rulebook import Rulebook
from ..records.run_directory import read_run
from .json_form import report_json
from .junit import junit
from .page import render_page
from .report import HTML, JSON, JUNIT, Report, make_report


def build_report(run_dir: Path, domain: Domain, rulebook: Rulebook) -> Report:
    """Write report.html, report.json and junit.xml into a run directory; raises InputError if it cannot be used."""
    report = make_report(read_run(run_dir), domain, rulebook)
    contents = {
        JSON: json.dumps(report_json(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        JUNIT: junit(report),
        HTML: render_page(report),
    }
    for name, content in contents.items():
        _write(run_dir / name, content)
    return report


def _write(path: Path, content: str) -> None:
    """Write a file; it is complete or does not appear."""
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        unfinished.write_text(content, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise InputError(path, f"cannot be written: {error.strerror}") from None
