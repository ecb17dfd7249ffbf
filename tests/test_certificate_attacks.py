"""Attacks on certificates, through the real command line: each ends with 1, naming what changed, or with 2."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from verilora.specs.domain import Domain, load_domain
from verilora.synth.models.base_model import EMBEDDED_FOLDER
from verilora.synth.models.model_files import model_digest, tokenizer_digest
from verilora.verify.certificates.content import BaseDigests
from verilora.verify.certificates.issue import issue_certificate
from verilora.verify.commands.certify_command import CertificationRequest, certify
from verilora.verify.records.by_prompt import interval_by_group

from certificates import Fixed, measurement
from command_line import run_main
from controllers import BEFORE, YIELDING

TASK = "right-at-traffic-light"
TAUTOLOGIES = """description: two
rules:
  - id: phi1
    formula: G(stop -> stop)
    english: what stops, stops
  - id: phi5
    formula: G(stop | !stop)
    english: it stops or not
"""
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def home(driving: Domain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with specs, keys, a base model, and a run whose adapter has a signed certificate."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(driving.folder, folder / "specs" / "driving")
    shutil.copytree(EMBEDDED_FOLDER, folder / "base")
    adapter = folder / "run" / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(bytes(64))
    key = Ed25519PrivateKey.generate()
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(public)
    base = BaseDigests(
        name="embedded", digest=model_digest(EMBEDDED_FOLDER), tokenizer_digest=tokenizer_digest(EMBEDDED_FOLDER)
    )
    samples = folder / "run" / "samples.jsonl"
    samples.write_text("{}\n")
    measured = measurement(driving, BEFORE, TASK, base=base, files={"samples.jsonl": samples})
    issue_certificate(adapter, measured, folder / "key.pem")
    return folder


@pytest.fixture
def attacked(home: Path, tmp_path: Path) -> Path:
    """A copy of it, to be tampered with."""
    return Path(shutil.copytree(home, tmp_path / "home"))


def check(home: Path, *options: str | Path) -> tuple[int, str, str]:
    """Return what `certify --check --offline` ends with and prints."""
    code, out, err = run_main("certify", home / "run", "--specs", home / "specs", "--check", "--offline", *options)
    return code, " ".join(out.split()), err


def change(home: Path, edit: Edit, *, keep_signature: bool = False) -> None:
    """Edit the certificate as somebody who has no key would."""
    path = home / "run" / "adapter" / "certificate.json"
    content = json.loads(path.read_text())
    edit(content)
    if not keep_signature:
        content["signature"] = None
    path.write_text(json.dumps(content))


def test_without_an_attack_all_holds(home: Path) -> None:
    code, out, err = check(home, "--public", home / "public.pem")
    assert (code, err) == (0, "")
    assert "nothing was sampled" in out
    assert "changed" not in out


def _two_tautologies(home: Path) -> None:
    (home / "specs" / "driving" / "rulebooks" / "default.yaml").write_text(TAUTOLOGIES)


def _goals_that_hold_anyway(home: Path) -> None:
    path = home / "specs" / "driving" / "tasks.yaml"
    lines = path.read_text().splitlines()
    start = lines.index("goals:") + 1
    end = next(place for place in range(start, len(lines)) if lines[place] and not lines[place].startswith(" "))
    lines[start:end] = [f"{line.partition(':')[0]}: 'true'" if ":" in line else line for line in lines[start:end]]
    path.write_text("\n".join(lines))


def _append(name: str, text: str) -> Callable[[Path], None]:
    def attack(home: Path) -> None:
        (home / name).write_text((home / name).read_text() + text)

    return attack


def _learned_world(home: Path) -> None:
    sorted((home / "specs" / "driving" / "worlds").iterdir())[0].unlink()


@pytest.mark.parametrize(
    ("attack", "name"),
    [
        (_two_tautologies, "the rulebook"),
        (_goals_that_hold_anyway, "tasks.yaml"),
        (_append("specs/driving/worlds.yaml", "# x\n"), "worlds.yaml"),
        (_append("specs/driving/propositions.yaml", "# x\n"), "propositions.yaml"),
        (_learned_world, ".json"),
        (_append("run/samples.jsonl", "{}\n"), "samples.jsonl"),
        (lambda home: (home / "run" / "samples.jsonl").unlink(), "samples.jsonl (gone)"),
    ],
)
@pytest.mark.parametrize("public", [True, False])
def test_what_changed_is_named_and_fails(
    attacked: Path, attack: Callable[[Path], None], name: str, public: bool
) -> None:
    attack(attacked)
    code, out, err = check(attacked, *(("--public", attacked / "public.pem") if public else ()))
    assert (code, err) == (1, "")
    assert f"{name}" in out.partition("changed since then:")[2]


@pytest.mark.parametrize(("file", "name"), [("config.json", "the base model"), ("tokenizer.json", "its tokenizer")])
def test_another_base_model_or_tokenizer(attacked: Path, file: str, name: str) -> None:
    path = attacked / "base" / file
    path.write_text(path.read_text() + " ")
    code, out, _ = check(attacked, "--model", attacked / "base")
    assert (code, f"changed since then: {name}" in out) == (1, True)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(bytes(63)), "is not the file that was"),
        (lambda folder: (folder / "adapter_config.json").unlink(), "no such file"),
        (lambda folder: (folder / "more.safetensors").write_bytes(b""), "is not one of the files"),
        (lambda folder: (folder / "inner").symlink_to(folder.parent), "inner: is a link"),
        (lambda folder: (folder / "more.bin").symlink_to(folder / "adapter_config.json"), "more.bin: is a link"),
    ],
)
def test_another_adapter_is_refused(attacked: Path, attack: Callable[[Path], None], message: str) -> None:
    attack(attacked / "run" / "adapter")
    code, out, err = check(attacked)
    assert (code, out) == (2, "")
    assert message in err


def test_a_readme_is_no_attack(attacked: Path) -> None:
    (attacked / "run" / "adapter" / "README.md").write_text("# An adapter")
    assert check(attacked)[0] == 0


def _phi5(field: str, value: object) -> Edit:
    return lambda content: content["counts"]["rules"]["phi5"].update({field: value})


def _drop_the_worst_prompt(content: dict[str, Any]) -> None:
    """Leave out a prompt everywhere, consistently."""
    counts = content["counts"]
    counts["prompts"].pop()
    counts["num_samples"] -= 1
    timely = counts["measured_timely"]
    timely["sums"].pop()
    for found in (counts["invalid"], counts["gates"], counts["all_kept"], timely, *counts["rules"].values()):
        found["count"] -= found["counts"].pop()
        found["of"] -= found["sizes"].pop()
        found.update(_interval(found))


def _interval(found: dict[str, Any]) -> dict[str, Any]:
    low, high = interval_by_group(found["counts"], found["sizes"]) or (None, None)
    return {"low": low, "high": high}


def _invalid_and_good(content: dict[str, Any]) -> None:
    ones = [1] * len(content["counts"]["prompts"])
    whole = {"count": len(ones), "of": len(ones), "counts": ones, "sizes": ones}
    whole |= _interval(whole)
    content["counts"].update(invalid=whole, gates=whole)


def _more_kept_by_a_prompt(content: dict[str, Any]) -> None:
    found = content["counts"]["rules"]["phi5"]
    found["counts"] = [2, *found["counts"][1:]]
    found["count"] = sum(found["counts"])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_phi5("count", 1000), "counts.rules.phi5: count: got 1000, expected"),
        (_phi5("of", 1), "counts.rules.phi5: of: got 1, expected"),
        (_phi5("low", 0.99999), "counts.rules.phi5: low: got 0.99999, expected"),
        (_phi5("low", -1), "counts.rules.phi5: low: got -1.0, expected"),
        (_phi5("low", float("nan")), "counts.rules.phi5: low: got nan, expected"),
        (_phi5("low", None), "counts.rules.phi5: low: got None, expected"),
        (_phi5("high", 2), "counts.rules.phi5: high: got 2.0, expected"),
        (_phi5("high", 0), "counts.rules.phi5: high: got 0.0, expected"),
        (_phi5("counts", []), "counts.rules.phi5: counts: got 0 of them, expected one for each of 81 prompts"),
        (_phi5("observed_only", 1000), "counts.rules.phi5: observed_only: got 1000, expected at most"),
        (_more_kept_by_a_prompt, "counts.rules.phi5: counts.0: got 2, expected from 0 to 1"),
        (lambda content: content["counts"].update(num_samples=9), "counts: num_samples: got 9, expected"),
        (lambda content: content["counts"]["prompts"].pop(), "counts: num_samples: got"),
        (
            lambda content: content["counts"]["prompts"].__setitem__(0, content["counts"]["prompts"][1]),
            "counts: prompts: expected each of them once",
        ),
        (
            lambda content: content["counts"].update(all_kept=content["counts"]["rules"]["phi5"]),
            "counts.all_kept: unknown key: got 'observed_only'",
        ),
        (
            _invalid_and_good,
            "counts: invalid.counts and gates.counts.0: got 2, expected from 0 to 1",
        ),
        (_drop_the_worst_prompt, "counts.prompts: got 0 answers to"),
        (lambda content: content["sampling"].update(samples_per_prompt=2), "counts.prompts.0.num_answers: got 1"),
        (
            lambda content: content["counts"]["rules"].update(phi99=content["counts"]["rules"]["phi5"]),
            "counts.rules: got 'phi99', expected one of",
        ),
        (
            lambda content: content["evidence"]["files"].update({"../key.pem": "0" * 64}),
            "evidence.files: got '../key.pem', expected a file of the run's directory",
        ),
        (lambda content: content.update(format=3), "format: got 3, expected 2"),
        (lambda content: content.update(owner="me"), "unknown key: got 'owner'"),
    ],
)
def test_contents_that_contradict_themselves(attacked: Path, edit: Edit, message: str) -> None:
    change(attacked, edit)
    code, _, err = check(attacked)
    assert code == 2
    assert f"certificate.json: {message}" in err


def test_a_key_that_stands_twice(attacked: Path) -> None:
    path = attacked / "run" / "adapter" / "certificate.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 2, "format": 2', 1))
    code, out, err = check(attacked)
    assert (code, out) == (2, "")
    assert "certificate.json: format: stands twice in one object" in err


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content.update(rulebook_digest="0" * 64),
        lambda content: content.update(waivers=[{"rule": "phi1", "by": "me", "reason": "none", "date": "2026-01-01"}]),
        lambda content: content["settings"].update(strict_form=False),
        lambda content: content["engine"].update(name="another"),
        lambda content: content["evidence"].update(answers="0" * 64),
        lambda content: content.update(recordings={"waits": "0" * 64}),
    ],
)
def test_no_signed_field_can_be_changed(attacked: Path, edit: Edit) -> None:
    change(attacked, edit, keep_signature=True)
    code, _, err = check(attacked)
    assert (code, "signature: does not belong to this content" in err) == (2, True)
    change(attacked, edit)
    code, _, err = check(attacked, "--public", attacked / "public.pem")
    assert (code, "signature: is not signed" in err) == (2, True)


def test_recordings_that_are_not_here_are_told(attacked: Path) -> None:
    change(attacked, lambda content: content.update(recordings={"waits": "0" * 64}))
    code, out, _ = check(attacked)
    assert (code, "changed since then: the recorded waits of waits" in out) == (1, True)


def test_offline_nothing_is_signed(home: Path) -> None:
    code, _, err = run_main("certify", home / "run", "--specs", home / "specs", "--offline", "--key", home / "key.pem")
    assert (code, "nothing is renewed offline" in err) == (2, True)


def test_sampling_again_hides_no_change(attacked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that the new book asks is kept, and nothing that was certified fell."""
    _two_tautologies(attacked)
    # All prompts got one verdict, of a right turn; where other manoeuvres are asked for, that is not in time.
    change(attacked, lambda content: content["counts"].update(measured_timely=None))
    request = CertificationRequest(folder=attacked / "run", specs=attacked / "specs", check=True, num_processes=1)
    assert certify(request, lambda *_, **__: Fixed(BEFORE)) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "changed since then: the rulebook" in out
    assert "certified were" not in out
    assert "certified and no longer judged: phi1, phi2, phi3" in out


def test_of_few_prompts_nothing_can_have_fallen(
    attacked: Path, driving: Domain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three prompts: all that was kept is broken now, and it is said that this tells nothing."""
    moved = Path(shutil.copytree(driving.folder, tmp_path / "specs" / "driving"))
    content = yaml.safe_load((moved / "tasks.yaml").read_text())
    content["tasks"] = [task for task in content["tasks"] if task["id"] == TASK]
    (moved / "tasks.yaml").write_text(yaml.safe_dump(content))
    few = load_domain("driving", tmp_path / "specs")
    base = BaseDigests(name="embedded", digest=Fixed.digest, tokenizer_digest=Fixed.tokenizer_digest)
    adapter = attacked / "run" / "adapter"
    issue_certificate(adapter, measurement(few, YIELDING, TASK, base=base))
    request = CertificationRequest(folder=adapter, specs=tmp_path / "specs", check=True, num_processes=1)
    assert certify(request, lambda *_, **__: Fixed("1. hope")) == 0
    assert "too few prompts: 3 of 6 needed to tell whether anything fell" in capsys.readouterr().out
