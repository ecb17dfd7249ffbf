"""`verilora report` and `verilora certify`, run as a user runs them, with a real language model and its adapter."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from verilora.serving.engine.generator import Generator
from verilora.specs.domain import Domain, load_domain
from verilora.specs.files.errors import InputError
from verilora.synth.models.base_model import EMBEDDED_FOLDER
from verilora.verify.certificates.certificate import read_certificate
from verilora.verify.certificates.changes import changes
from verilora.verify.certificates.content import BaseDigests, CertifiedSampling
from verilora.verify.certificates.issue import Measurement, issue_certificate
from verilora.verify.certificates.recertify import verify_again
from verilora.verify.certificates.signature import fingerprint, read_public_key
from verilora.verify.commands.certify_command import CertificationRequest, base_of, certify
from verilora.verify.commands.report_command import report_run
from verilora.verify.records.digests import domain_digests
from verilora.verify.verdicts.settings import Settings

from command_line import run_main
from run_directories import write_run
from tiny_models import base_model, save_tiny_adapter

TASKS = ("right-at-traffic-light", "straight-at-wide-median", "left-at-wide-median")
SAMPLING = CertifiedSampling(
    splits=("validation", "test"),
    samples_per_prompt=1,
    batch_size=8,
    prompt_style="plain",
    temperature=0.8,
    top_p=1.0,
    max_new_tokens=80,
    constrained=False,
    device="cpu",
    seed=11,
)


def verilora(*arguments: str | Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "verilora", *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "160", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    return done.returncode, done.stdout, done.stderr


def write_keys(folder: Path, name: str) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture(scope="module")
def specs(driving: Domain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driving domain with three of its tasks."""
    folder = tmp_path_factory.mktemp("specs")
    shutil.copytree(driving.folder, folder / "driving")
    path = folder / "driving" / "tasks.yaml"
    content = yaml.safe_load(path.read_text())
    content["tasks"] = [task for task in content["tasks"] if task["id"] in TASKS]
    path.write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_keys(tmp_path_factory.mktemp("keys"), "ours")


@pytest.fixture(scope="module")
def issued(specs: Path, keys: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the embedded base model with a signed certificate over answers that were really sampled."""
    adapter = save_tiny_adapter(tmp_path_factory.mktemp("adapters") / "adapter", base_model(), scale=0.01)
    domain = load_domain("driving", specs)
    book, settings = domain.rulebook(), Settings(witnesses=False)
    generator = Generator(adapter=adapter, vocabulary=domain.vocabulary)
    texts, verdicts = verify_again(generator, domain, book, settings, SAMPLING, 1, lambda done: None)
    issue_certificate(
        adapter,
        Measurement(
            domain=domain,
            rulebook=book,
            settings=settings,
            base=BaseDigests(name="embedded", digest=generator.digest, tokenizer_digest=generator.tokenizer_digest),
            sampling=SAMPLING,
            texts=texts,
            verdicts=verdicts,
        ),
        keys[0],
    )
    return adapter


@pytest.fixture
def adapter(issued: Path, tmp_path: Path) -> Path:
    """A copy of the certified adapter, to be tampered with."""
    return shutil.copytree(issued, tmp_path / "adapter")


def content_of(adapter: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((adapter / "certificate.json").read_text())
    return found


class TestCertify:
    def test_it_samples_and_judges_again_and_renews(
        self, adapter: Path, specs: Path, keys: tuple[Path, Path], tmp_path: Path
    ) -> None:
        before = content_of(adapter)
        private, public = keys
        # As a run directory holds it.
        (tmp_path / "run").mkdir()
        adapter.rename(tmp_path / "run" / "adapter")
        options = ("--specs", specs, "--key", private, "--public", public)
        code, out, err = verilora("certify", tmp_path / "run", *options)
        assert (code, "error" in err) == (0, False)
        after = content_of(tmp_path / "run" / "adapter")
        assert before["counts"]["num_samples"] == (3 + 3 + len(_test_wordings(specs)))
        assert 0 < before["counts"]["gates"]["count"] < before["counts"]["num_samples"]
        assert after["counts"] == before["counts"], "the same seed gives the same answers on the same machine"
        assert after["issued"] > before["issued"]
        assert read_certificate(tmp_path / "run" / "adapter").signature is not None
        assert f"signed with Ed25519 by the key {fingerprint(read_public_key(public))}" in " ".join(out.split())
        assert "changed since then" not in out

    def test_an_adapter_swapped_while_it_answered_is_not_certified(
        self, adapter: Path, specs: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = (adapter / "certificate.json").read_bytes()

        def judge_and_swap(*arguments: Any) -> Any:
            judged = verify_again(*arguments)
            (adapter / "adapter_model.safetensors").write_bytes(b"another")
            return judged

        monkeypatch.setattr("verilora.verify.commands.certify_command.verify_again", judge_and_swap)
        with pytest.raises(InputError, match=r"adapter_model\.safetensors: is not the file that was certified"):
            certify(CertificationRequest(folder=adapter, specs=specs, key=keys[0], num_processes=1), Generator)
        assert (adapter / "certificate.json").read_bytes() == before

    def test_what_changed_is_told_and_a_check_writes_nothing(
        self, adapter: Path, specs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copytree(specs, tmp_path / "specs")
        book = tmp_path / "specs" / "driving" / "rulebooks" / "paper.yaml"
        book.write_text(book.read_text().replace("formula: G(go_straight -> !pedestrian_in_front)", "formula: G stop"))
        worlds = tmp_path / "specs" / "driving" / "worlds.yaml"
        worlds.write_text(worlds.read_text() + "# another edition\n")
        before = (adapter / "certificate.json").read_bytes()
        request = CertificationRequest(folder=adapter, specs=tmp_path / "specs", check=True, num_processes=1)
        code = certify(request, Generator)
        out = " ".join(capsys.readouterr().out.split())
        assert "changed since then: the rulebook changed since then: worlds.yaml" in out
        # Nobody who moves keeps the rule now, and the certificate says that some did.
        assert code == 1
        assert re.search(r"phi14: \d+ of \d+ \([^)]*\), certified were", out)
        assert (adapter / "certificate.json").read_bytes() == before

    def test_a_swapped_adapter_is_refused_before_anything_is_sampled(self, adapter: Path, specs: Path) -> None:
        weights = adapter / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
        code, out, err = run_main("certify", adapter, "--specs", specs, "--check")
        assert (code, out) == (2, "")
        assert f"error: {weights}: is not the file that was certified" in err

    def test_another_base_model_is_told(self, adapter: Path, specs: Path, tmp_path: Path) -> None:
        other = shutil.copytree(EMBEDDED_FOLDER, tmp_path / "base")
        config = json.loads((other / "config.json").read_text())
        (other / "config.json").write_text(json.dumps({**config, "rope_theta": 12345.0}))
        template = next(other.glob("chat_template*"))
        template.write_text(template.read_text() + " ")
        domain, certificate = load_domain("driving", specs), read_certificate(adapter)
        digests = domain_digests(domain, domain.rulebook())
        assert changes(certificate, "default", digests, base_of(certificate, None)) == []
        found = changes(certificate, "default", digests, base_of(certificate, str(other)))
        assert found == ["the base model", "its tokenizer"]

    def test_signatures(self, adapter: Path, specs: Path, tmp_path: Path, keys: tuple[Path, Path]) -> None:
        _, other = write_keys(tmp_path, "theirs")
        with pytest.raises(InputError, match="was signed by another key"):
            certify(CertificationRequest(folder=adapter, specs=specs, public=other, key=keys[0]), Generator)
        with pytest.raises(InputError, match="the certificate is signed: expected --key"):
            certify(CertificationRequest(folder=adapter, specs=specs, public=keys[1]), Generator)
        with pytest.raises(InputError, match="holds no private key"):
            certify(CertificationRequest(folder=adapter, specs=specs, key=keys[1]), Generator)
        content = content_of(adapter)
        content["rulebook"] = "no-right-on-red"
        (adapter / "certificate.json").write_text(json.dumps(content))
        code, out, err = run_main("certify", adapter, "--specs", specs, "--key", keys[0])
        assert (code, out) == (2, "")
        assert "certificate.json: signature: does not belong to this content: the certificate was changed" in err

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            (("owner",), "me", "unknown key: got 'owner'"),
            (("sampling", "prompt_style"), "poetry", "sampling.prompt_style: 'poetry' is not a valid PromptStyle"),
            (("settings", "world"), "flat", "settings: 'flat' is not a valid WorldKind"),
            (("task",), "flying", "no such task domain"),
        ],
    )
    def test_certificates_that_make_no_sense(
        self, adapter: Path, specs: Path, field: tuple[str, ...], value: str, message: str
    ) -> None:
        content = content_of(adapter)
        parent = content
        for key in field[:-1]:
            parent = parent[key]
        parent[field[-1]] = value
        content["signature"] = None
        (adapter / "certificate.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=message):
            certify(CertificationRequest(folder=adapter, specs=specs, num_processes=1), Generator)

    def test_a_folder_without_a_certificate(self, tmp_path: Path) -> None:
        code, out, err = run_main("certify", tmp_path)
        assert (code, out) == (2, "")
        assert f"error: {tmp_path / 'certificate.json'}: no such file" in err


class TestReport:
    def test_it_is_built_again(self, driving: Domain, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", driving, driving.rulebook(), task_ids=TASKS, per_prompt=1)
        code, out, err = verilora("report", run)
        assert (code, err) == (0, "")
        sentence = json.loads((run / "report.json").read_text())["verdict"]["sentence"]
        assert sentence in " ".join(out.split())
        assert {path.name for path in run.iterdir()} >= {"report.html", "report.json", "junit.xml", "audit.csv"}
        first = (run / "report.html").read_bytes()
        assert report_run(run, None) == 0
        assert (run / "report.html").read_bytes() == first, "nothing in it depends on when it was made"

    def test_directories_that_are_no_finished_run(self, driving: Domain, specs: Path, tmp_path: Path) -> None:
        code, out, err = run_main("report", tmp_path / "none")
        assert (code, out) == (2, "")
        assert f"error: {tmp_path / 'none'}: no such directory" in err
        with pytest.raises(InputError, match=r"config\.json: no such file"):
            report_run(tmp_path, None)
        run = write_run(tmp_path / "run", driving, driving.rulebook(), task_ids=TASKS, per_prompt=1)
        with pytest.raises(
            InputError, match=r"config\.json: changed since the run, in .*: tasks\.yaml, .* and \d+ more; expected"
        ):
            report_run(run, specs)
        with pytest.raises(InputError, match=r"config\.json: specs: names .*, which is not there: expected --specs"):
            report_run(run, tmp_path)


def _test_wordings(specs: Path) -> tuple[str, ...]:
    return load_domain("driving", specs).task("left-at-wide-median").wordings["test"]
