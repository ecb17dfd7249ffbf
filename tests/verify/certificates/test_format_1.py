"""Certificates of format 1, as earlier states of this version wrote them."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.verify.certificates.certificate import Certificate, check_certified, read_certificate
from verilora.verify.certificates.content import BaseDigests
from verilora.verify.certificates.format_1 import OldCertificate
from verilora.verify.certificates.issue import new_certificate
from verilora.verify.certificates.signature import sign
from verilora.verify.commands.certify_command import CertificationRequest, certify
from verilora.verify.records.interval import clopper_pearson

from certificates import Fixed, measurement
from command_line import run_main
from controllers import BEFORE

TASK = "right-at-traffic-light"


def old_count(found: dict[str, Any]) -> dict[str, Any]:
    low, high = clopper_pearson(found["count"], found["of"])
    more = {"observed_only": found["observed_only"]} if "observed_only" in found else {}
    return {"count": found["count"], "of": found["of"], "low": low, "high": high, **more}


@pytest.fixture
def adapter(driving: Domain, tmp_path: Path) -> Path:
    """An adapter with a signed certificate of format 1."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(bytes(64))
    (folder / "README.md").write_text("# PEFT wrote one")
    base = BaseDigests(name="embedded", digest=Fixed.digest, tokenizer_digest=Fixed.tokenizer_digest)
    content = new_certificate(folder, measurement(driving, BEFORE, TASK, base=base)).model_dump(mode="json")
    for name in ("recordings", "engine", "waivers", "evidence"):
        del content[name]
    settings, counts = content["settings"], content["counts"]
    settings["paths"] = settings.pop("runs")
    del settings["strict_form"], settings["normaliser"], counts["prompts"], counts["measured_timely"]
    for name in ("invalid", "gates", "all_kept"):
        counts[name] = old_count(counts[name])
    counts["rules"] = {name: old_count(rule) for name, rule in counts["rules"].items()}
    content |= {"format": 1, "signature": None}
    # Format 1 had a digest of it, too.
    content["adapter"]["README.md"] = "0" * 64
    unsigned = OldCertificate.model_validate(content)
    content["signature"] = sign(unsigned.signed_bytes, Ed25519PrivateKey.generate()).model_dump()
    (folder / "certificate.json").write_text(json.dumps(content))
    return folder


def change(adapter: Path, **fields: Any) -> None:
    path = adapter / "certificate.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_it_is_read_with_its_signature(adapter: Path) -> None:
    found = read_certificate(adapter)
    assert isinstance(found, OldCertificate)
    check_certified(adapter, found)
    change(adapter, rulebook="other")
    with pytest.raises(InputError, match="signature: does not belong to this content"):
        read_certificate(adapter)


def test_it_counts_as_stale(adapter: Path) -> None:
    code, out, err = run_main("certify", adapter, "--check", "--offline")
    assert (code, err) == (1, "")
    assert f"issued in format 1, renew with `verilora certify {adapter}`" in " ".join(out.split()).replace("- ", "-")


def test_it_is_renewed(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(adapter, signature=None)
    request = CertificationRequest(folder=adapter, specs=Path("specs"), num_processes=1)
    monkeypatch.chdir(Path(__file__).parents[3])
    assert certify(request, lambda *_, **__: Fixed(BEFORE)) == 0
    renewed = read_certificate(adapter)
    assert isinstance(renewed, Certificate)
    assert "README.md" not in renewed.adapter
    assert certify(CertificationRequest(folder=adapter, specs=Path("specs"), offline=True), Fixed) == 0
    # What holds no more is told by format 2 prompt by prompt.
    worse = CertificationRequest(folder=adapter, specs=Path("specs"), check=True, num_processes=1)
    assert certify(worse, lambda *_, **__: Fixed("1. hope")) == 1


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        ("gates", "count", 1000, "counts.gates: count: got 1000, expected at most"),
        ("gates", "low", 0.9999, "counts.gates: low: got 0.9999, expected"),
        ("gates", "high", -1, "counts.gates: high: got -1.0, expected"),
        ("invalid", "of", 10, "counts.invalid: low|counts.invalid: high|counts: invalid.of"),
    ],
)
def test_counts_that_contradict_themselves(adapter: Path, name: str, field: str, value: float, message: str) -> None:
    counts = json.loads((adapter / "certificate.json").read_text())["counts"]
    counts[name][field] = value
    change(adapter, counts=counts)
    with pytest.raises(InputError, match=message):
        read_certificate(adapter)
