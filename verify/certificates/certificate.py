"""Certificates: what was measured of an adapter, and the digests of all that the measurement depends on."""

import json
import re
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, model_validator

from ...specs.files.atomic import UNFINISHED, replacing
from ...specs.files.errors import InputError
from ...specs.files.record import parse_record, read_json
from ...specs.files.yaml_file import Row
from ...specs.waiver import Waiver
from ..records.digests import CERTIFICATE, README, adapter_digests
from . import format_1
from .content import Content, Digest
from .counts import Counts
from .evidence import Evidence
from .format_1 import OldCertificate
from .signature import sign

FORMAT = 2
_NUMBERS = re.compile(r"\[\n *(\d+(?:,\n *\d+)*)\n *\]")


class CertifiedSettings(Row):
    """What decides verdicts besides rulebook, tasks and worlds.

    How text was read belongs to it: as it stands (`strict_form`), or changed first by a normaliser, which is named.
    """

    world: str
    mode: str
    runs: str
    ending: str
    otherwise: str
    max_steps: int
    time_limit: float
    strict_form: bool = True
    normaliser: str = ""


class Engine(Row):
    """What sampled the answers."""

    name: str
    version: str


class Certificate(Content):
    """A certificate, as `certificate.json` beside an adapter holds it.

    `recordings` has a digest for the recorded waits of each world; `waivers` are those of the rulebook. Raises
    ValueError for a content that contradicts itself.
    """

    recordings: dict[str, Digest] = Field(default_factory=dict)
    settings: CertifiedSettings
    engine: Engine
    waivers: tuple[Waiver, ...] = ()
    counts: Counts
    evidence: Evidence

    @model_validator(mode="after")
    def _check(self) -> Self:
        times = self.sampling.samples_per_prompt
        for place, prompt in enumerate(self.counts.prompts):
            if prompt.num_answers % times:
                message = f"got {prompt.num_answers}, expected {times} of each wording, as sampling says"
                raise ValueError(f"counts.prompts.{place}.num_answers: {message}")
        return self


def read_certificate(adapter: Path) -> Certificate | OldCertificate:
    """Return the certificate beside an adapter; raises InputError if it is missing, damaged or badly signed."""
    path = adapter / CERTIFICATE
    if not path.is_file():
        raise InputError(path, "no such file: expected the certificate that `train` issued")
    content = read_json(path)
    found = content.get("format", FORMAT) if isinstance(content, dict) else FORMAT
    if found not in (FORMAT, format_1.FORMAT):
        raise InputError(path, f"got {found}, expected {FORMAT} (or {format_1.FORMAT}, the one before)", field="format")
    certificate: Certificate | OldCertificate = (
        parse_record(content, OldCertificate, path)
        if found == format_1.FORMAT
        else parse_record(content, Certificate, path)
    )
    if certificate.signature and not certificate.signature.is_valid(certificate.signed_bytes):
        raise InputError(path, "does not belong to this content: the certificate was changed", field="signature")
    return certificate


def signed(certificate: Certificate, key: Ed25519PrivateKey) -> Certificate:
    """Return a certificate with a signature of its content."""
    return certificate.model_copy(update={"signature": sign(certificate.signed_bytes, key)})


def write_certificate(adapter: Path, certificate: Certificate) -> None:
    """Write a certificate beside its adapter; the file is complete or does not appear."""
    path = adapter / CERTIFICATE
    beside = adapter.resolve()
    laid_out = json.dumps(certificate.model_dump(mode="json"), indent=1, ensure_ascii=False)
    # A line for each list of numbers, not for each number.
    content = _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", laid_out) + "\n"
    try:
        # Not within the folder: a kill would leave a file there that is not certified.
        with replacing(path, beside.with_name(f"{beside.name}.{CERTIFICATE}{UNFINISHED}")) as unfinished:
            unfinished.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError(path, f"cannot be written: {error.strerror}") from None


def check_certified(adapter: Path, certificate: Content) -> None:
    """Raise InputError that names the first file of an adapter that is not the certified one."""
    found = adapter_digests(adapter)
    # Certificates of format 1 named it, too.
    certified = {name: digest for name, digest in certificate.adapter.items() if name != README}
    for name in sorted({*found, *certified}):
        if name not in found:
            raise InputError(adapter / name, "no such file, but the adapter's certificate names it")
        if name not in certified:
            raise InputError(adapter / name, "is not one of the files that the adapter's certificate names")
        if found[name] != certified[name]:
            digests = f"its digest is {found[name][:16]}…, the certified one {certified[name][:16]}…"
            raise InputError(adapter / name, f"is not the file that was certified: {digests}")


def check_signer(adapter: Path, certificate: Content, public_key: str) -> None:
    """Raise InputError unless the owner of a public key (base64) signed the certificate."""
    path = adapter / CERTIFICATE
    if certificate.signature is None:
        raise InputError(
            path, "is not signed: expected the signature of the key that --public names", field="signature"
        )
    if certificate.signature.public_key != public_key:
        signer = certificate.signature.fingerprint
        raise InputError(path, f"was signed by another key ({signer}) than --public names", field="signature")
