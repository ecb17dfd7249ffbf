"""Issuing certificates: digests of what is there, counts of what was judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.rulebook import Rulebook
from ..records.digests import DomainDigests, adapter_digests, domain_digests
from ..records.verdict import Verdict
from ..records.versions import versions
from ..verdicts.settings import Settings
from .certificate import FORMAT, Certificate, CertifiedSettings, Engine, signed, write_certificate
from .content import BaseDigests, CertifiedSampling
from .counting import counts_of, prompts_of
from .evidence import evidence_of
from .signature import read_private_key


def own_engine() -> Engine:
    """Return the engine of this version, which samples wherever answers are certified."""
    return Engine(name="verilora", version=versions([])["verilora"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a certificate is about: the verdicts on sampled answers, and all that they depend on.

    `texts` and their `verdicts` are in the order of `Domain.prompts`; `digests` are those of the domain when they were
    made, None if that is now. `files`, by their names in a run's directory, hold them. `engine` sampled them.
    """

    domain: Domain
    rulebook: Rulebook
    settings: Settings
    base: BaseDigests
    sampling: CertifiedSampling
    texts: Sequence[str]
    verdicts: Sequence[Verdict]
    digests: DomainDigests | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    engine: Engine = field(default_factory=own_engine)


def issue_certificate(adapter: Path, measured: Measurement, key: Path | None = None) -> Certificate:
    """Write the certificate of an adapter beside it, signed if a private key is given, and return it.

    Raises InputError if a file cannot be used, or has changed since the verdicts were made.
    """
    private = read_private_key(key) if key is not None else None
    certificate = new_certificate(adapter, measured)
    certificate = signed(certificate, private) if private else certificate
    write_certificate(adapter, certificate)
    return certificate


def new_certificate(adapter: Path, measured: Measurement) -> Certificate:
    """Return a certificate that nobody has signed and that stands in no file; raises InputError."""
    domain, rulebook = measured.domain, measured.rulebook
    now = domain_digests(domain, rulebook)
    if measured.digests is not None and now != measured.digests:
        changed = ", ".join(now.changed_from(measured.digests))
        raise InputError(domain.folder, f"changed after answers were judged, so nothing was certified: {changed}")
    prompts = prompts_of(domain, measured.sampling)
    return Certificate(
        format=FORMAT,
        issued=datetime.now(UTC).isoformat(timespec="seconds"),
        adapter=adapter_digests(adapter),
        base=measured.base,
        task=domain.name,
        rulebook=rulebook.name,
        rulebook_digest=now.rulebook,
        tasks_digest=now.tasks,
        worlds=now.worlds,
        recordings=now.recordings,
        settings=certified_settings(measured.settings),
        engine=measured.engine,
        sampling=measured.sampling,
        waivers=rulebook.waivers,
        counts=counts_of(prompts, measured.verdicts),
        evidence=evidence_of(prompts, measured.texts, measured.verdicts, measured.files),
        versions=versions(),
    )


def certified_settings(settings: Settings) -> CertifiedSettings:
    """Return what of a verifier's settings a certificate records."""
    return CertifiedSettings(
        world=settings.world,
        mode=settings.mode,
        runs=settings.runs,
        ending=settings.reading.ending,
        otherwise=settings.reading.otherwise,
        max_steps=settings.max_steps,
        time_limit=settings.time_limit,
    )
