"""Reports: what a run found, made from the files of its directory alone."""

from dataclasses import dataclass

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.rulebook import Rulebook
from ..certificates.certificate import Certificate, read_certificate
from ..certificates.format_1 import OldCertificate
from ..records.digests import CERTIFICATE, domain_digests
from ..records.run import Run
from ..records.verdict import Mode
from ..rulebooks.ceiling import Ceiling, find_ceiling
from ..worlds.coverage import Coverage, coverages

MAX_NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that the forms of a report are made from. `ceiling` is there in paper mode only."""

    run: Run
    domain: Domain
    rulebook: Rulebook
    coverage: tuple[Coverage, ...]
    certificate: Certificate | OldCertificate | None
    ceiling: Ceiling | None


def make_report(run: Run, domain: Domain, rulebook: Rulebook) -> Report:
    """Return the report of a run; raises InputError if the domain is no longer what the run was made with."""
    check_domain(run, domain, rulebook, " (--specs)")
    return Report(
        run=run,
        domain=domain,
        rulebook=rulebook,
        coverage=coverages(domain, run.config.world),
        certificate=read_certificate(run.files.adapter) if (run.files.adapter / CERTIFICATE).is_file() else None,
        ceiling=find_ceiling(domain, rulebook) if run.config.mode is Mode.PAPER else None,
    )


def check_domain(run: Run, domain: Domain, rulebook: Rulebook, hint: str = "") -> None:
    """Raise InputError that names what changed since the run: what is said of it would be of other rules or worlds."""
    if changed := domain_digests(domain, rulebook).changed_from(run.config.domain_digests):
        more = f" and {len(changed) - MAX_NAMED} more" if len(changed) > MAX_NAMED else ""
        names = f"{', '.join(changed[:MAX_NAMED])}{more}"
        where = f"in {domain.folder}: {names}; expected what the run was made with{hint}"
        raise InputError(run.files.config, f"changed since the run, {where}")
