"""Certificates: what was measured of an adapter, and the digests of all that the measurement depends on."""

import json
from pathlib import Path
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field

from ...specs.files.atomic import UNFINISHED, replacing
from ...specs.files.errors import InputError
from ...specs.files.record import parse_record, read_json
from ...specs.files.yaml_file import Row
from ...specs.task import Split
from ..records.digests import CERTIFICATE, adapter_digests
from .signature import Signature, sign

FORMAT = 1
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BaseDigests(Row):
    """The base model: its name (a path, a hub id or `embedded`), and digests of its weights and its tokenizer."""

    name: str
    digest: Digest
    tokenizer_digest: Digest


class CertifiedSettings(Row):
    """What decides verdicts besides rulebook, tasks and worlds."""

    world: str
    mode: str
    paths: str
    ending: str
    otherwise: str
    max_steps: int
    time_limit: float


class CertifiedSampling(Row):
    """How the answers were sampled: each wording of the splits, repeated, in batches.

    Batch k, from 0 on, has the seed `seed + k`. On a GPU (`cuda`) a model runs in bf16, on a CPU in fp32.
    """

    splits: tuple[Split, ...] = Field(min_length=1)
    samples_per_prompt: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    prompt_style: str
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    max_new_tokens: int = Field(ge=1)
    constrained: bool
    device: str
    seed: int


class Count(Row):
    """How many of how many, with the exact interval of 95 % for the share."""

    count: int = Field(ge=0)
    of: int = Field(ge=0)
    low: float
    high: float


class RuleCount(Count):
    """Answers that keep a rule. Those that do by observation only are told beside and not counted."""

    observed_only: int = Field(ge=0)


class Counts(Row):
    """What the sampled answers are worth."""

    num_samples: int = Field(ge=1)
    invalid: Count
    gates: Count
    all_kept: Count
    rules: dict[str, RuleCount]


class Certificate(Row):
    """A certificate, as `certificate.json` beside an adapter holds it. `adapter` has a digest for each of its files."""

    format: int
    issued: str
    adapter: dict[str, Digest] = Field(min_length=1)
    base: BaseDigests
    task: str
    rulebook: str
    rulebook_digest: Digest
    tasks_digest: Digest
    worlds: dict[str, Digest]
    settings: CertifiedSettings
    sampling: CertifiedSampling
    counts: Counts
    versions: dict[str, str]
    signature: Signature | None = None

    @property
    def signed_bytes(self) -> bytes:
        """What a signature signs: everything but itself as canonical JSON (sorted keys, no spaces, UTF-8)."""
        content = self.model_dump(mode="json", exclude={"signature"})
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def read_certificate(adapter: Path) -> Certificate:
    """Return the certificate beside an adapter; raises InputError if it is missing, damaged or badly signed."""
    path = adapter / CERTIFICATE
    if not path.is_file():
        raise InputError(path, "no such file: expected the certificate that `train` issued")
    certificate = parse_record(read_json(path), Certificate, path)
    if certificate.format != FORMAT:
        raise InputError(path, f"got {certificate.format}, expected {FORMAT}", field="format")
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
    content = json.dumps(certificate.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    try:
        # Not within the folder: a kill would leave a file there that is not certified.
        with replacing(path, beside.with_name(f"{beside.name}.{CERTIFICATE}{UNFINISHED}")) as unfinished:
            unfinished.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError(path, f"cannot be written: {error.strerror}") from None


def check_certified(adapter: Path, certificate: Certificate) -> None:
    """Raise InputError that names the first file of an adapter that is not the certified one."""
    found = adapter_digests(adapter)
    for name in sorted({*found, *certificate.adapter}):
        if name not in found:
            raise InputError(adapter / name, "no such file, but the adapter's certificate names it")
        if name not in certificate.adapter:
            raise InputError(adapter / name, "is not one of the files that the adapter's certificate names")
        if found[name] != certificate.adapter[name]:
            digests = f"its digest is {found[name][:16]}…, the certified one {certificate.adapter[name][:16]}…"
            raise InputError(adapter / name, f"is not the file that was certified: {digests}")


def check_signer(adapter: Path, certificate: Certificate, public_key: str) -> None:
    """Raise InputError unless the owner of a public key (base64) signed the certificate."""
    path = adapter / CERTIFICATE
    if certificate.signature is None:
        raise InputError(
            path, "is not signed: expected the signature of the key that --public names", field="signature"
        )
    if certificate.signature.public_key != public_key:
        signer = certificate.signature.fingerprint
        raise InputError(path, f"was signed by another key ({signer}) than --public names", field="signature")
