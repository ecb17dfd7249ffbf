"""What `verilora certify` does."""

import os
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from ...specs.domain import Domain, load_domain
from ...specs.files.errors import InputError
from ...specs.rulebook import Rulebook
from ...synth.models.base_model import EMBEDDED
from ...synth.models.generates import LoadsGenerator
from ...synth.models.model_files import model_digest, model_folder, tokenizer_digest
from ..certificates.certificate import (
    Certificate,
    check_certified,
    check_signer,
    read_certificate,
    signed,
    write_certificate,
)
from ..certificates.changes import changes, check_prompts, fallen, no_longer_judged
from ..certificates.content import BaseDigests, CertifiedSampling, Content
from ..certificates.counts import Count
from ..certificates.evidence import changed_files
from ..certificates.format_1 import OldCertificate, OldCount
from ..certificates.issue import Measurement, new_certificate
from ..certificates.recertify import settings_of, verify_again
from ..certificates.signature import read_private_key, read_public_key
from ..records.by_prompt import MIN_GROUPS, too_few
from ..records.digests import CERTIFICATE, DomainDigests, domain_digests
from .terminal import console, progress


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationRequest:
    """What is asked of `certify`. `model`, `seed` and `device` are None for the certificate's own."""

    folder: Path
    specs: Path
    model: str | None = None
    key: Path | None = None
    public: Path | None = None
    seed: int | None = None
    device: str | None = None
    num_processes: int | None = None
    check: bool = False
    offline: bool = False

    @property
    def only_check(self) -> bool:
        """Whether the certificate is left as it is; offline there is nothing to renew it with."""
        return self.check or self.offline

    @property
    def adapter(self) -> Path:
        """The adapter's folder: the one that was named, or the one of a run directory."""
        inner = self.folder / "adapter"
        return inner if inner.is_dir() and not (self.folder / CERTIFICATE).exists() else self.folder


def certify(request: CertificationRequest, load_generator: LoadsGenerator) -> int:
    """Verify an adapter again, renew its certificate and return 0, or 1 if it no longer holds what was certified.

    A mere check returns 1 as well if what the certificate depends on has changed. Raises InputError, before anything is
    sampled, if a file of the adapter is not the one that was certified, or the certificate contradicts itself or is
    not signed as asked.
    """
    adapter, out = request.adapter, console()
    then = _checked(request)
    domain = load_domain(then.task, request.specs)
    rulebook = domain.rulebook(then.rulebook)
    base, digests = base_of(then, request.model, is_offline=request.offline), domain_digests(domain, rulebook)
    out.print(f"{adapter}: the adapter is the one that was certified on {then.issued}; {_signer(then)}")
    for waiver in then.waivers if isinstance(then, Certificate) else ():
        out.print(f"{waiver.rule}: {waiver}", style="yellow")
    stale = _stale(request, then, domain, rulebook, digests, base)
    for change in stale:
        out.print(f"changed since then: {change}", style="yellow")
    if request.offline:
        out.print("nothing was sampled: the counts are as they were certified")
        return int(bool(stale))
    sampling = _sampling(request, then.sampling)
    if sampling.device != then.sampling.device:
        out.print(f"sampled on {sampling.device} now, on {then.sampling.device} then", style="yellow")
    now = _measure(request, then, domain, rulebook, base, digests, sampling, load_generator)
    out.print(_table(then, now))
    if not request.only_check:
        renewed = signed(now, read_private_key(request.key)) if request.key else now
        write_certificate(adapter, renewed)
        out.print(f"renewed {adapter / CERTIFICATE}; {_signer(renewed)}")
    lower = fallen(then, now)
    if (num_prompts := len(now.counts.prompts)) < MIN_GROUPS:
        out.print(f"{too_few(num_prompts)} to tell whether anything fell", style="yellow")
    for share in lower:
        out.print(f"{share.name}: {_share(share.now)}, certified were {_share(share.then)}", style="bold red")
    if gone := no_longer_judged(then, now):
        out.print(f"certified and no longer judged: {', '.join(gone)}", style="yellow")
    return int(bool(lower) or (request.only_check and bool(stale)))


def _checked(request: CertificationRequest) -> Certificate | OldCertificate:
    """Return the certificate of the request's adapter after all that can be checked without a model."""
    certificate = read_certificate(request.adapter)
    if request.public is not None:
        check_signer(request.adapter, certificate, read_public_key(request.public))
    if request.key is not None:
        if request.offline:
            message = "nothing is renewed offline (--offline), so nothing is signed: expected no --key"
            raise InputError(request.key, message)
        # Rather now than after sampling.
        read_private_key(request.key)
    elif certificate.signature and not request.only_check:
        message = "the certificate is signed: expected --key to sign the renewed one, or --check to leave it as it is"
        raise InputError(request.adapter / CERTIFICATE, message, field="signature")
    check_certified(request.adapter, certificate)
    return certificate


def _stale(
    request: CertificationRequest,
    then: Certificate | OldCertificate,
    domain: Domain,
    rulebook: Rulebook,
    digests: DomainDigests,
    base: BaseDigests,
) -> list[str]:
    """Return why a certificate no longer speaks of what is there, a line each; raises InputError."""
    domain_changed = changes(then, rulebook.name, digests, base)
    if isinstance(then, OldCertificate):
        return [f"the format: issued in format 1, renew with `verilora certify {request.folder}`", *domain_changed]
    if digests.tasks == then.tasks_digest and digests.rulebook == then.rulebook_digest:
        check_prompts(then, domain, rulebook)
    run = request.folder if request.adapter != request.folder else None
    return [*domain_changed, *(changed_files(then.evidence, run) if run else [])]


def base_of(certificate: Certificate | OldCertificate, model: str | None, *, is_offline: bool = False) -> BaseDigests:
    """Return the digests of the base model that is there now; raises InputError."""
    name = model or certificate.base.name
    folder = model_folder(None if name == EMBEDDED else name, is_offline=is_offline)
    return BaseDigests(name=name, digest=model_digest(folder), tokenizer_digest=tokenizer_digest(folder))


def _sampling(request: CertificationRequest, then: CertifiedSampling) -> CertifiedSampling:
    """Return how answers are sampled now: as they were, but for what is asked."""
    asked = {"seed": request.seed, "device": request.device}
    return then.model_copy(update={name: value for name, value in asked.items() if value is not None})


def _measure(
    request: CertificationRequest,
    then: Certificate | OldCertificate,
    domain: Domain,
    rulebook: Rulebook,
    base: BaseDigests,
    digests: DomainDigests,
    sampling: CertifiedSampling,
    load_generator: LoadsGenerator,
) -> Certificate:
    """Return the certificate that holds now, unsigned."""
    settings = settings_of(then.settings)
    generator = load_generator(
        None if base.name == EMBEDDED else base.name,
        adapter=request.adapter,
        device=sampling.device,
        vocabulary=domain.vocabulary,
    )
    total = len(domain.prompts(sampling.splits, sampling.samples_per_prompt))
    processes = request.num_processes or os.cpu_count() or 1
    with progress(console(), "sampling", total) as report:
        texts, verdicts = verify_again(generator, domain, rulebook, settings, sampling, processes, report)
    # Once more: what is certified now must be what answered.
    check_certified(request.adapter, then)
    measured = Measurement(
        domain=domain,
        rulebook=rulebook,
        settings=settings,
        base=base,
        sampling=sampling,
        texts=texts,
        verdicts=verdicts,
        digests=digests,
    )
    return new_certificate(request.adapter, measured)


def _table(then: Certificate | OldCertificate, now: Certificate) -> Table:
    """Return what was certified beside what was found now."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "certified", "now", "by observation only, not counted"):
        table.add_column(column, justify="left" if not column else "right")
    for name in ("invalid", "gates", "all_kept"):
        table.add_row(name.replace("_", " "), _share(getattr(then.counts, name)), _share(getattr(now.counts, name)), "")
    if timely := now.counts.measured_timely:
        earlier = None if isinstance(then, OldCertificate) else then.counts.measured_timely
        table.add_row("timely (measured)", _share(earlier) if earlier else "not measured", _share(timely), "")
    for name, rule in now.counts.rules.items():
        before = then.counts.rules.get(name)
        table.add_row(name, _share(before) if before else "not judged", _share(rule), str(rule.observed_only or ""))
    return table


def _share(count: Count | OldCount) -> str:
    if count.low is None or count.high is None:
        return f"{count.count} of {count.of}"
    return f"{count.count} of {count.of} ({count.low:.1%} to {count.high:.1%})"


def _signer(certificate: Content) -> str:
    signature = certificate.signature
    return f"signed with Ed25519 by the key {signature.fingerprint}" if signature else "nobody signed the certificate"
