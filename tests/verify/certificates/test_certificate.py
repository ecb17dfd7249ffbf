import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hollow import HOLLOW

from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.specs.learned_world import LearnedWorld, Transition, learned_world_path, write_learned_world
from verilora.specs.logic import Formula
from verilora.specs.recorded_waits import recorded_waits_path
from verilora.specs.rulebook import Rule, Rulebook
from verilora.specs.waiver import Waiver
from verilora.verify.certificates.certificate import (
    Certificate,
    check_certified,
    check_signer,
    read_certificate,
)
from verilora.verify.certificates.changes import check_prompts
from verilora.verify.certificates.counting import counts_of
from verilora.verify.certificates.counts import MeasuredTimely
from verilora.verify.certificates.issue import issue_certificate
from verilora.verify.certificates.signature import read_private_key, read_public_key
from verilora.verify.records.digests import DomainDigests, domain_digests, file_digest
from verilora.verify.records.verdict import Status
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier

from certificates import measurement
from controllers import BEFORE, YIELDING

TASK = "right-at-traffic-light"


def write_keys(folder: Path, name: str) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"r": 4}')
    (folder / "adapter_model.safetensors").write_bytes(bytes(64))
    return folder


def issue(adapter: Path, domain: Domain, key: Path | None = None) -> Certificate:
    only = replace(domain, tasks={TASK: domain.task(TASK)})
    book, texts = domain.rulebook(), (YIELDING, BEFORE, "1. hope\n2. stop")
    verifier = Verifier(only, book, Settings(witnesses=False))
    verdicts = [verifier.verify_text(text, domain.task(TASK)) for text in texts]
    return issue_certificate(adapter, measurement(only, BEFORE, TASK, texts=texts, verdicts=verdicts), key)


def change(folder: Path, fields: dict[str, object]) -> None:
    path = folder / "certificate.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_it_holds_the_counts_of_the_verdicts_and_reads_back(adapter: Path, driving: Domain) -> None:
    certificate = issue(adapter, driving)
    assert read_certificate(adapter) == certificate
    check_certified(adapter, certificate)
    assert [path.name for path in adapter.parent.iterdir()] == ["adapter"], "nothing unfinished is left"
    counts = certificate.counts
    assert (counts.num_samples, counts.invalid.count, counts.all_kept.count) == (3, 1, 1)
    assert (counts.rules["phi5"].count, counts.rules["phi5"].of) == (1, 3)
    assert (counts.rules["phi5"].low, counts.rules["phi5"].high) == (None, None), "three prompts are too few"
    assert [prompt.wording for prompt in counts.prompts] == [*driving.task(TASK).wordings["validation"]]
    assert (counts.invalid.counts, counts.invalid.sizes) == ((0, 0, 1), (1, 1, 1))
    assert '"sizes": [1, 1, 1]' in (adapter / "certificate.json").read_text(), "a line for a list of numbers"
    assert certificate.waivers == ()
    assert certificate.recordings == {
        "traffic_light": file_digest(recorded_waits_path(driving.folder, "traffic_light"))
    }
    # Two of three answers are controllers, and both turn in time.
    assert counts.measured_timely is not None
    assert (counts.measured_timely.counts, counts.measured_timely.sizes) == ((1, 1, 0), (1, 1, 0))
    assert (counts.measured_timely.sums, counts.measured_timely.share) == ((1.0, 1.0, 0.0), 1.0)
    assert certificate.engine.name == "verilora"
    assert (certificate.settings.strict_form, certificate.settings.normaliser) == (True, "")
    assert certificate.rulebook_digest == driving.rulebook().digest
    assert set(certificate.adapter) == {"adapter_config.json", "adapter_model.safetensors"}
    assert certificate.versions["torch"]


def test_it_holds_the_waivers_of_the_rulebook_and_no_others(adapter: Path, driving: Domain) -> None:
    waiver = Waiver(rule="phi5", by="The board", reason="A test track.", date=date(2026, 1, 31))
    book = replace(driving.rulebook(), waivers=(waiver,))
    without = issue_certificate(adapter, measurement(driving, BEFORE, TASK))
    certificate = issue_certificate(adapter, measurement(driving, BEFORE, TASK, rulebook=book))
    assert read_certificate(adapter) == certificate
    said = {"rule": "phi5", "by": "The board", "reason": "A test track.", "date": "2026-01-31"}
    assert json.loads((adapter / "certificate.json").read_text())["waivers"] == [said]
    assert certificate.counts == without.counts
    check_prompts(certificate, driving, book)
    for waivers in ((), (waiver.model_copy(update={"by": "Nobody"}),)):
        with pytest.raises(
            InputError, match=r"^certificate\.json: waivers: got \[.*\], expected those of the rulebook "
        ):
            check_prompts(certificate.model_copy(update={"waivers": waivers}), driving, book)


def test_what_changed_while_answers_were_judged_is_not_certified(
    adapter: Path, driving: Domain, tmp_path: Path
) -> None:
    moved = replace(driving, folder=shutil.copytree(driving.folder, tmp_path / "driving"))
    book = moved.rulebook()

    def issue_with(digests: DomainDigests) -> Certificate:
        return issue_certificate(adapter, measurement(moved, YIELDING, TASK, digests=digests))

    before = domain_digests(moved, book)
    assert issue_with(before).tasks_digest == before.tasks
    tasks = moved.folder / "tasks.yaml"
    tasks.write_text(tasks.read_text() + "# other tasks\n")
    with pytest.raises(InputError, match=r"changed after answers were judged, so nothing was certified: tasks\.yaml"):
        issue_with(before)


def test_what_is_kept_by_observation_only_does_not_count(driving: Domain, tmp_path: Path) -> None:
    green = ("green_traffic_light",)
    steps = (Transition(source=None, target=green, count=9), Transition(source=green, target=green, count=9))
    learned = LearnedWorld(
        format=1,
        world="traffic_light",
        propositions=green,
        exclusions=(),
        transitions=steps,
        coverage={},
        provenance={},
    )
    write_learned_world(learned_world_path(tmp_path, "traffic_light", green), learned)
    task = replace(driving.task(TASK), relevant=green)
    rules = tuple(
        Rule(id=name, formula=Formula(formula), english="")
        for name, formula in (("always_green", "G green_traffic_light"), ("no_left", "G !turn_left"))
    )
    book = Rulebook(name="two", description="", rules=rules)
    verdict = Verifier(replace(driving, folder=tmp_path), book).verify_text(YIELDING, task)
    assert [rule.status for rule in verdict.rules] == [Status.OBSERVED, Status.SATISFIED]
    assert verdict.all_kept
    counts = counts_of([(TASK, "Turn right")], [verdict])
    certified = {name: (count.count, count.of, count.observed_only) for name, count in counts.rules.items()}
    assert certified == {"always_green": (0, 1, 1), "no_left": (1, 1, 0)}
    assert (counts.all_kept.count, counts.gates.count) == (0, 1)


def test_the_timely_gate_is_counted_beside_what_is_proved(driving: Domain) -> None:
    task_id, steps = HOLLOW["straight, and then on the median for a car that never comes there"]
    verdict = Verifier(driving, driving.rulebook()).verify_text(steps, driving.task(task_id))
    counts = counts_of([(task_id, "Straight on")], [verdict])
    assert (counts.gates.count, counts.all_kept.count) == (1, 0)
    assert counts.measured_timely is not None
    assert (counts.measured_timely.count, counts.measured_timely.of, counts.measured_timely.share) == (0, 1, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sums": (2.0,)}, "sums.0: got 2.0, expected from 0 to 1"),
        ({"sums": (0.5, 0.5)}, "sums: got 2 of them, expected one for each of 1 prompts"),
        ({"share": 0.9}, "share: got 0.9, expected 0.5"),
    ],
)
def test_measured_shares_that_contradict_each_other_are_refused(change: dict[str, object], message: str) -> None:
    fields = {"count": 0, "of": 1, "low": None, "high": None, "counts": (0,), "sizes": (1,), "sums": (0.5,)}
    assert MeasuredTimely(**fields, share=0.5)
    with pytest.raises(ValueError, match=message):
        MeasuredTimely(**{**fields, "share": 0.5, **change})


def test_prompts_stand_in_the_order_of_the_files(driving: Domain) -> None:
    prompts = driving.prompts(("validation", "test"), 2)
    assert len(prompts) == 2 * sum(
        len(task.wordings.get("validation", ())) + len(task.wordings.get("test", ())) for task in driving.tasks.values()
    )
    assert prompts[0] == prompts[1] == (driving.task(TASK), driving.task(TASK).wordings["validation"][0])
    assert {task.split for task, _ in driving.prompts(("test",), 1)} == {"test"}


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_swapped_file_is_named(adapter: Path, driving: Domain, tmp_path: Path, name: str) -> None:
    private, _ = write_keys(tmp_path, "ours")
    issue(adapter, driving, private)
    (adapter / name).write_bytes(b"other")
    certificate = read_certificate(adapter)
    with pytest.raises(
        InputError, match=rf"{name}: is not the file that was certified: its digest is d9298a10d1b07358…"
    ):
        check_certified(adapter, certificate)


def test_files_that_came_or_went_are_named(adapter: Path, driving: Domain) -> None:
    certificate = issue(adapter, driving)
    (adapter / "extra.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"extra\.bin: is not one of the files"):
        check_certified(adapter, certificate)
    (adapter / "extra.bin").unlink()
    (adapter / "adapter_config.json").unlink()
    with pytest.raises(InputError, match=r"adapter_config\.json: no such file"):
        check_certified(adapter, certificate)


def test_a_signature_holds_for_its_content_and_its_key(adapter: Path, driving: Domain, tmp_path: Path) -> None:
    (private, public), (_, other) = write_keys(tmp_path, "ours"), write_keys(tmp_path, "theirs")
    signed = issue(adapter, driving, private)
    assert read_certificate(adapter) == signed
    check_signer(adapter, signed, read_public_key(public))
    with pytest.raises(InputError, match=r"was signed by another key \([0-9a-f]{16}\)"):
        check_signer(adapter, signed, read_public_key(other))
    unsigned = issue(adapter, driving)
    with pytest.raises(InputError, match="is not signed"):
        check_signer(adapter, unsigned, read_public_key(public))


@pytest.mark.parametrize("fields", [{"rulebook": "other"}, {"issued": "2020-01-01"}, {"worlds": {}}])
def test_no_signed_field_can_be_changed(
    adapter: Path, driving: Domain, tmp_path: Path, fields: dict[str, object]
) -> None:
    issue(adapter, driving, write_keys(tmp_path, "ours")[0])
    change(adapter, fields)
    with pytest.raises(InputError, match="signature: does not belong to this content"):
        read_certificate(adapter)


def test_a_signature_survives_another_layout_of_the_file(adapter: Path, driving: Domain, tmp_path: Path) -> None:
    signed = issue(adapter, driving, write_keys(tmp_path, "ours")[0])
    path = adapter / "certificate.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True, indent=4))
    assert read_certificate(adapter) == signed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"valid_until": "2030"}, "unknown key: got 'valid_until'"),
        ({"adapter": {"adapter_model.safetensors": "12"}}, r"adapter\.adapter_model\.safetensors: String should match"),
        ({"format": 3}, "format: got 3, expected 2"),
        ({"signature": {"algorithm": "none", "public_key": "", "signature": ""}}, r"signature\.algorithm"),
        ({"signature": {"algorithm": "Ed25519", "public_key": "?", "signature": ""}}, "signature: does not belong"),
    ],
)
def test_unusable_certificates_are_refused(
    adapter: Path, driving: Domain, fields: dict[str, object], message: str
) -> None:
    issue(adapter, driving)
    change(adapter, fields)
    with pytest.raises(InputError, match=message):
        read_certificate(adapter)


def test_a_missing_field_is_named(adapter: Path, driving: Domain) -> None:
    issue(adapter, driving)
    path = adapter / "certificate.json"
    content = json.loads(path.read_text())
    del content["sampling"]["seed"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"certificate\.json: sampling\.seed: is missing"):
        read_certificate(adapter)
    path.unlink()
    with pytest.raises(InputError, match="no such file: expected the certificate"):
        read_certificate(adapter)


def test_keys_that_cannot_be_used(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "ours")
    with pytest.raises(InputError, match="holds no private key in PEM format"):
        read_private_key(public)
    with pytest.raises(InputError, match="holds no public key in PEM format"):
        read_public_key(private)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_private_key(tmp_path / "missing.pem")
    elliptic = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    private.write_bytes(elliptic)
    with pytest.raises(InputError, match="expected an Ed25519 private key, got ECPrivateKey"):
        read_private_key(private)


def test_digests_change_with_what_they_stand_for(driving: Domain, greenhouse: Domain) -> None:
    default, strict = (domain_digests(driving, driving.rulebook(name)) for name in ("default", "no-right-on-red"))
    assert default.rulebook != strict.rulebook
    assert (default.tasks, default.worlds) == (strict.tasks, strict.worlds)
    assert len(default.worlds) == 2 + len(list((driving.folder / "worlds").iterdir()))
    assert set(domain_digests(greenhouse, greenhouse.rulebook()).worlds) == {"propositions.yaml", "worlds.yaml"}
