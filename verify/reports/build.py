"""Building a report: its forms, written into the directory of the run."""

import json
from pathlib import Path

from ...specs.domain import Domain
from ...specs.files.atomic import write_text
from ...specs.files.errors import InputError
from ...specs.rulebook import Rulebook
from ..audits.audit_table import audit_csv
from ..records.run import read_run
from .json_form import report_json
from .junit import junit
from .page import render_page
from .report import Report, make_report


def build_report(run_dir: Path, domain: Domain, rulebook: Rulebook) -> Report:
    """Write all forms of the report into a run directory and return it; raises InputError if it cannot be used."""
    report = make_report(read_run(run_dir), domain, rulebook)
    files = report.run.files
    contents = {
        files.report_json: json.dumps(report_json(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        files.junit: junit(report),
        files.audit: audit_csv(report.run, report.rulebook),
        files.report_html: render_page(report),
    }
    for path, content in contents.items():
        try:
            write_text(path, content)
        except OSError as error:
            raise InputError(path, f"cannot be written: {error.strerror}") from None
    return report
