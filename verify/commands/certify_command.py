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
    BaseDigests,
    Certificate,
    CertifiedSampling,
    Count,
    check_certified,
    check_signer,
    read_certificate,
    signed,
    write_certificate,
)
from ..certificates.changes import changes, fallen
from ..certificates.issue import Measurement, new_certificate
from ..certificates.recertify import settings_of, verify_again
from ..certificates.signature import read_private_key, read_public_key
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
    only_check: bool = False

    @property
    def adapter(self) -> Path:
        """The adapter's folder: the one that was named, or the one of a run directory."""
        inner = self.folder / "adapter"
        return inner if inner.is_dir() and not (self.folder / CERTIFICATE).exists() else self.folder


def certify(request: CertificationRequest, load_generator: LoadsGenerator) -> int:
    """Verify an adapter again, renew its certificate and return 0, or 1 if it no longer holds what was certified.

    Raises InputError, before anything is sampled, if a file of the adapter is not the one that was certified, or the
    certificate is not signed as asked.
    """
    adapter, out = request.adapter, console()
    then = _checked(request)
    domain = load_domain(then.task, request.specs)
    rulebook = domain.rulebook(then.rulebook)
    base, digests = base_of(then, request.model), domain_digests(domain, rulebook)
    out.print(f"{adapter}: the adapter is the one that was certified on {then.issued}; {_signer(then)}")
    sampling = _sampling(request, then.sampling)
    if changed := changes(then, digests, base, sampling):
        out.print(f"changed since then: {', '.join(changed)}", style="yellow")
    now = _measure(request, then, domain, rulebook, base, digests, sampling, load_generator)
    out.print(_table(then, now))
    if not request.only_check:
        renewed = signed(now, read_private_key(request.key)) if request.key else now
        write_certificate(adapter, renewed)
        out.print(f"renewed {adapter / CERTIFICATE}; {_signer(renewed)}")
    lower = fallen(then, now)
    for share in lower:
        out.print(f"{share.name}: {_share(share.now)}, certified were {_share(share.then)}", style="bold red")
    return int(bool(lower))


def _checked(request: CertificationRequest) -> Certificate:
    """Return the certificate of the request's adapter after all that can be checked without a model."""
    certificate = read_certificate(request.adapter)
    if request.public is not None:
        check_signer(request.adapter, certificate, read_public_key(request.public))
    if request.key is not None:
        # Rather now than after sampling.
        read_private_key(request.key)
    elif certificate.signature and not request.only_check:
        message = "the certificate is signed: expected --key to sign the renewed one, or --check to leave it as it is"
        raise InputError(request.adapter / CERTIFICATE, message, field="signature")
    check_certified(request.adapter, certificate)
    return certificate


def base_of(certificate: Certificate, model: str | None) -> BaseDigests:
    """Return the digests of the base model that is there now."""
    name = model or certificate.base.name
    folder = model_folder(None if name == EMBEDDED else name)
    return BaseDigests(name=name, digest=model_digest(folder), tokenizer_digest=tokenizer_digest(folder))


def _sampling(request: CertificationRequest, then: CertifiedSampling) -> CertifiedSampling:
    """Return how answers are sampled now: as they were, but for what is asked."""
    asked = {"seed": request.seed, "device": request.device}
    return then.model_copy(update={name: value for name, value in asked.items() if value is not None})


def _measure(
    request: CertificationRequest,
    then: Certificate,
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
        verdicts = verify_again(generator, domain, rulebook, settings, sampling, processes, report)
    # Once more: what is certified now must be what answered.
    check_certified(request.adapter, then)
    measured = Measurement(
        domain=domain,
        rulebook=rulebook,
        settings=settings,
        base=base,
        sampling=sampling,
        verdicts=verdicts,
        digests=digests,
    )
    return new_certificate(request.adapter, measured)


def _table(then: Certificate, now: Certificate) -> Table:
    """Return what was certified beside what was found now."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "certified", "now", "by observation only, not counted"):
        table.add_column(column, justify="left" if not column else "right")
    for name in ("invalid", "gates", "all_kept"):
        table.add_row(name.replace("_", " "), _share(getattr(then.counts, name)), _share(getattr(now.counts, name)), "")
    for name, rule in now.counts.rules.items():
        before = then.counts.rules.get(name)
        table.add_row(name, _share(before) if before else "not judged", _share(rule), str(rule.observed_only or ""))
    return table


def _share(count: Count) -> str:
    return f"{count.count} of {count.of} ({count.low:.1%} to {count.high:.1%})"


def _signer(certificate: Certificate) -> str:
    signature = certificate.signature
    return f"signed with Ed25519 by the key {signature.fingerprint}" if signature else "nobody signed the certificate"
