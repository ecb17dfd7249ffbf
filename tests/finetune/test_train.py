"""Whole runs, on a domain and a base model small enough to train in seconds, through the real command line."""

import csv
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from safetensors.torch import load_file

from verilora.finetune.commands.train_command import new_directory
from verilora.finetune.pipeline import Pipeline
from verilora.finetune.training.pairs import Pair
from verilora.serving.engine.generator import Generator
from verilora.specs.domain import load_domain
from verilora.specs.files.record_file import RecordFile
from verilora.synth.controllers.behaviour import behaviour_digest
from verilora.synth.controllers.steps import InvalidController
from verilora.synth.models.language_model import load_model, load_tokenizer
from verilora.verify.records.evaluation import BeforeAfter
from verilora.verify.records.run import TrainingRow, read_run
from verilora.verify.records.run_files import RunFiles
from verilora.verify.records.verdict import Status
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind

from command_line import run_main
from lock_holder import another_process_holds

DATA = Path(__file__).parents[1] / "data"
BASE = DATA / "greenhouse-base"
FILES = (
    "config.json", "samples.jsonl", "verdicts.jsonl", "pairs.jsonl", "training.jsonl", "eval.json", "report.html",
    "report.json", "junit.xml", "audit.csv", "adapter/adapter_model.safetensors", "adapter/adapter_config.json",
    "adapter/certificate.json",
)  # fmt: skip
Completed = subprocess.CompletedProcess[str]
VERILORA = (sys.executable, "-m", "verilora")


def beginning(out: Path, *options: str, model: Path = BASE) -> list[str]:
    """Return the arguments that begin a run."""
    fixed = ["--task", "greenhouse", "--specs", str(DATA), "--model", str(model), "--world", "abstract"]
    fixed += ["--samples", "32", "--rounds", "2", "--epochs", "2", "--learning-rate", "3e-3"]
    return ["train", *fixed, "--out", str(out), *options]


def command(out: Path) -> list[str]:
    return [*VERILORA, *beginning(out)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def run(words: list[str], **variables: str) -> Completed:
    environ = {**environment(), **variables}
    return subprocess.run(words, env=environ, capture_output=True, text=True, check=False)


def resume(out: Path, *options: str) -> tuple[int, str, str]:
    """Go on with a run in this process; return exit code, output and errors."""
    return run_main("train", "--resume", out, *options)


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Let no file of this process become larger, which stands for the end of the disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def weights(out: Path) -> bytes:
    return (out / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "finished"
    done = run(command(out))
    assert (done.returncode, done.stderr) == (0, "")
    return out


def test_a_run_leaves_its_files(finished: Path) -> None:
    assert [name for name in FILES if not (finished / name).is_file()] == []
    run = RunFiles(finished)
    pairs = RecordFile(run.pairs, Pair).read()
    assert len(pairs) > 10
    assert all(pair.chosen_rank > pair.rejected_rank for pair in pairs)
    margins = [row.margin for row in RecordFile(run.training, TrainingRow).read()]
    assert margins[0] == pytest.approx(0, abs=0.05)
    assert max(margins) > 1


def test_the_audit_agrees_with_what_was_judged(finished: Path) -> None:
    """Counted once more, from the answers and from verdicts.jsonl, which knows behaviours, not answers."""
    domain = load_domain("greenhouse", DATA)
    evaluation = json.loads((finished / "eval.json").read_text())
    number = next(entry["round"] for entry in evaluation["rounds"] if entry["kept"])
    parse = Verifier(domain, "default", Settings(world=WorldKind.ABSTRACT)).parse
    known = {}
    for line in (finished / "verdicts.jsonl").read_text().splitlines():
        entry = json.loads(line)
        task = domain.task(entry["verdict"]["task_id"])
        known[entry["behaviour"], entry["verdict"]["num_steps"], task.world, task.goal.text] = entry["verdict"]

    def verdict_of(answer: dict[str, str]) -> dict[str, Any]:
        found, task = parse(answer["text"]), domain.task(answer["task_id"])
        if isinstance(found, InvalidController):
            return known[f"invalid: {found}", 0, task.world, task.goal.text]
        return known[behaviour_digest(found), found.num_steps, task.world, task.goal.text]

    counts: Counter[tuple[str, str, str]] = Counter()
    texts: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for when, name in (("before", "before"), ("after", f"after-{number}")):
        for line in (finished / "evaluation" / f"{name}.jsonl").read_text().splitlines():
            answer = json.loads(line)
            verdict = verdict_of(answer)
            texts.setdefault((when, answer["task_id"], answer["wording"]), []).append(verdict)
            for rule in verdict["rules"]:
                if rule["applicable"]:
                    counts[rule["rule_id"], answer["task_id"], f"{when}_{rule['status']}"] += 1
    with (finished / "audit.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, strict=True))
    assert len({(row["rule"], row["task"]) for row in rows}) == len(rows)
    columns = [f"{when}_{status.word}" for when in ("before", "after") for status in Status]
    told = {(row["rule"], row["task"], name): int(row[name]) for row in rows for name in columns}
    assert {key: count for key, count in told.items() if count} == counts
    for split, scores in evaluation["splits"].items():
        for rule, score in scores["after"]["rules"].items() if split != "train" else ():
            of = [row for row in rows if (row["rule"], row["splits"]) == (rule, split)]
            kept = sum(int(row["after_satisfied"]) + int(row["after_observed"]) for row in of)
            assert (kept, sum(int(row["after_violated"]) for row in of)) == (score["kept"], score["violated"])
    broken = [row for row in rows if int(row["before_violated"]) + int(row["after_violated"])]
    assert broken
    for row in rows:
        assert bool(row["witness"]) == (row in broken)
    for row in broken:
        assert (row["witness_when"] == "after") == (row["after_violated"] != "0")
        verdict = texts[row["witness_when"], row["task"], row["witness_prompt"]][int(row["witness_sample"])]
        assert {"rule_id": row["rule"], "status": "violated"}.items() <= next(
            rule for rule in verdict["rules"] if rule["rule_id"] == row["rule"]
        ).items()


def test_training_raises_compliance_on_what_it_saw(finished: Path) -> None:
    train = json.loads((finished / "eval.json").read_text())["splits"]["train"]
    assert train["after"]["compliance"]["mean"] > train["before"]["compliance"]["mean"]


def test_the_adapter_changes_the_model_and_loads_with_peft(finished: Path) -> None:
    tensors = load_file(finished / "adapter" / "adapter_model.safetensors")
    assert any(name.endswith("lora_B.weight") and tensor.abs().sum() > 0 for name, tensor in tensors.items())
    Generator(BASE, adapter=finished / "adapter")


def test_a_finished_run_has_nothing_to_do(finished: Path) -> None:
    before = {name: (finished / name).read_bytes() for name in FILES[:6]}
    adapter = weights(finished)
    code, _, err = resume(finished)
    assert code == 0, err
    assert {name: (finished / name).read_bytes() for name in FILES[:6]} == before
    assert weights(finished) == adapter


def test_a_signed_certificate_outlives_resuming(finished: Path, tmp_path: Path) -> None:
    out, private = tmp_path / "run", tmp_path / "private.pem"
    shutil.copytree(finished, out)
    key = Ed25519PrivateKey.generate()
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    code, _, err = resume(out, "--key", str(private))
    assert code == 0, err
    certificate = (out / "adapter" / "certificate.json").read_bytes()
    assert json.loads(certificate)["signature"]["algorithm"] == "Ed25519"
    assert resume(out)[0] == 0
    assert (out / "adapter" / "certificate.json").read_bytes() == certificate
    private.write_text("nothing")
    code, output, err = resume(out, "--key", str(private))
    assert code == 2
    assert "holds no private key in PEM format" in err
    assert "stage: " not in output


def test_its_certificate_holds_until_a_file_of_the_run_is_another(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    evidence = json.loads((out / "adapter" / "certificate.json").read_text())["evidence"]
    name = next(name for name in evidence["files"] if name.startswith("evaluation/after-"))
    assert set(evidence["files"]) == {"samples.jsonl", "verdicts.jsonl", name}
    options = ("--specs", DATA, "--offline")
    assert run_main("certify", out, *options)[0] == 0
    (out / name).write_text((out / name).read_text().replace("1. ", "1.  ", 1))
    code, told, _ = run_main("certify", out, *options)
    assert (code, f"changed since then: {name}" in told) == (1, True)


def test_an_adapter_that_was_swapped_gets_no_certificate(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "adapter" / "certificate.json").unlink()
    path = out / "adapter" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + bytes(4))
    code, _, err = resume(out)
    assert code == 2
    assert "is not the adapter whose answers were judged: expected that of " in err
    assert not (out / "adapter" / "certificate.json").exists()


@pytest.mark.parametrize("algorithm", ["dpo", pytest.param("grpo", marks=pytest.mark.slow)])
def test_where_warnings_are_errors(algorithm: str, tmp_path: Path) -> None:
    """What libraries warn each other about ended a training there; elsewhere it stood between the lines of progress."""
    out = tmp_path / "run"
    small = ["--epochs", "1", "--samples", "16"] if algorithm == "dpo" else ["--algorithm", algorithm]
    command = [*VERILORA, "train", "--task", "greenhouse", "--specs", str(DATA), "--model", str(BASE), *small]
    command += ["--world", "abstract", "--rounds", "2", "--keep-worse", "--out", str(out)]
    done = run(command, PYTHONWARNINGS="error")
    assert (done.returncode, done.stderr) == (0, "")
    domain = ("--task", "greenhouse", "--specs", DATA)
    asked = ("--model", BASE, "--adapter", out, "--for", "water-glasshouse", "--world", "abstract")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run_main("report", out)[::2] == (0, "")
        assert run_main("certify", "--check", out, "--specs", DATA)[::2] == (0, "")
        code, _, err = run_main("synthesize", *domain, *asked)
    assert (code in (0, 1), err) == (True, "")


def test_a_directory_in_use_is_refused(finished: Path) -> None:
    code, _, err = run_main(*beginning(finished))
    assert code == 2
    assert "is not empty: expected a new directory, or --resume" in err


def test_an_internal_fault_is_called_one_whether_a_run_begins_or_goes_on(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(pipeline: Pipeline) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(Pipeline, "execute", fail)
    for options in (("--resume", finished), ("--task", "greenhouse", "--specs", DATA, "--out", tmp_path / "new")):
        code, _, err = run_main("train", *options)
        assert (code, "ValueError: a fault of ours" in err) == (3, True)


def test_a_run_that_falls_short_of_what_is_required_exits_with_1(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_run(finished)
    monkeypatch.setattr(Pipeline, "execute", lambda pipeline: SimpleNamespace(run=found))
    command = ("train", "--task", "greenhouse", "--specs", DATA, "--out")
    share = found.evaluation.splits["train"].after.compliance.mean
    assert run_main(*command, tmp_path / "a", "--require", f"train:compliance={share}")[0] == 0
    code, _, err = run_main(*command, tmp_path / "b", "--require", "compliance=0", "--require", "train:compliance=1")
    missed = f"required: compliance on train: got {share:.1%}, expected at least 100.0%\n"
    assert (code, err) == ((1, missed) if share < 1 else (0, ""))
    worse = replace(found, evaluation=found.evaluation.model_copy(update={"rejected": True}))
    monkeypatch.setattr(Pipeline, "execute", lambda pipeline: SimpleNamespace(run=worse))
    code, _, err = run_main(*command, tmp_path / "e")
    assert (code, err.startswith("rejected: No adapter was kept: its compliance on the validation split, ")) == (
        1,
        True,
    )
    code, _, err = run_main(*command, tmp_path / "c", "--require", "mood=1")
    assert (code, "--require: no such measure or rule: got 'mood'" in err) == (2, True)
    code, _, err = run_main(*command, tmp_path / "d", "--require", "compliance")
    assert (code, "expected NAME=SHARE or SPLIT:NAME=SHARE" in " ".join(err.split())) == (2, True)


def test_a_waived_rule_does_not_let_a_run_down(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished_run = read_run(finished)
    score = finished_run.evaluation.splits["train"].before
    unchanged = {"splits": {"test": BeforeAfter(before=score, after=score)}}
    found = replace(finished_run, evaluation=finished_run.evaluation.model_copy(update=unchanged))
    rules = score.rules
    name = next(name for name, rule in rules.items() if rule.kept < rule.applicable)
    shutil.copytree(DATA / "greenhouse", tmp_path / "specs" / "greenhouse")
    monkeypatch.setattr(Pipeline, "execute", lambda pipeline: SimpleNamespace(run=found))
    command = ("train", "--task", "greenhouse", "--specs", tmp_path / "specs", "--require", f"test:{name}=1", "--out")
    missed = f"{name} on test: got {rules[name].share.share:.1%}, expected at least 100.0%"
    assert run_main(*command, tmp_path / "a")[::2] == (1, f"required: {missed}\n")
    waiver = f"waivers:\n  - {{rule: {name}, by: The gardener, reason: An experiment, date: 2026-01-31}}\n"
    with (tmp_path / "specs" / "greenhouse" / "rulebooks" / "default.yaml").open("a") as book:
        book.write(waiver)
    told = f"waived: {missed}; waived by The gardener on 2026-01-31: An experiment\n"
    assert run_main(*command, tmp_path / "b")[::2] == (0, told)


def test_two_runs_in_one_directory_are_one_too_many(finished: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    for path, options in ((finished, ("--resume", finished)), (new, ("--out", new))):
        before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != ".lock"}
        with another_process_holds(path) as process:
            code, _, err = run_main("train", "--task", "greenhouse", "--specs", DATA, *options)
        assert (code, f"{path}: is written to by process {process.pid} on " in err) == (2, True)
        after = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != ".lock"}
        assert after == before


def test_default_directories_are_different(tmp_path: Path) -> None:
    names = [new_directory(tmp_path / "driving-default-20260101-000000").name for _ in range(3)]
    assert names == [f"driving-default-20260101-000000{end}" for end in ("", "+2", "+3")]


def test_other_settings_are_refused_on_resuming(finished: Path) -> None:
    code, _, err = resume(finished, "--seed", "7")
    assert code == 2
    assert "a run goes on with its own settings: seed is 0, got 7" in err
    code, _, err = resume(finished, "--out", "elsewhere")
    assert code == 2
    assert f"a run goes on where it is: out is {finished}, got elsewhere" in err
    assert resume(finished, "--processes", "1", "--specs", f"{DATA}/", "--world", "abstract")[0] == 0
    another_way = os.path.relpath(BASE)
    assert resume(finished, "--model", another_way, "--specs", os.path.relpath(DATA))[0] == 0
    assert resume(finished, "--loss-type", "sigmoid", "--loss-type", "sft:64")[0] == 0
    assert resume(finished, "--loss-type", "sigmoid:1.0", "--loss-type", "sft:64.0")[0] == 0
    code, _, err = resume(finished, "--loss-type", "sft:much")
    assert code == 2
    assert "expected LOSS or LOSS:WEIGHT with a number, got 'sft:much'" in err
    code, _, err = resume(finished, "--loss-type", "sigmoid")
    assert code == 2
    assert "loss_type is ('sigmoid', 'sft'), got ('sigmoid',)" in err


def test_a_run_finds_its_domain_in_another_place(finished: Path, tmp_path: Path) -> None:
    out, moved = tmp_path / "run", tmp_path / "specs"
    shutil.copytree(finished, out)
    shutil.copytree(DATA / "greenhouse", moved / "greenhouse")
    assert resume(out, "--specs", str(moved))[0] == 0
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "specs": str(tmp_path / "gone")}))
    for command in (("train", "--resume", out), ("drive", "--run", out), ("report", out)):
        code, _, err = run_main(*command)
        assert code == 2
        assert "config.json: specs: names" in err
        assert "gone/greenhouse, which is not there: expected --specs with the folder of task domains" in err
    assert resume(out, "--specs", str(moved))[0] == 0


def test_a_model_that_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    code, _, err = run_main(*beginning(tmp_path / "run", model=tmp_path / "missing"))
    assert code == 2
    assert "missing: got nothing there, expected a model's or an adapter's folder" in err
    assert not (tmp_path / "run").exists()


def test_what_was_killed_before_it_began_begins_again_in_the_same_place(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "stages.jsonl").write_text('{"stage": "worlds", "seconds": 1.0}\n')
    with subprocess.Popen(command(out), env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert any(line.startswith("  answers: ") for line in process.stdout)
        finally:
            process.kill()
    assert (out / "config.json").exists()


def test_a_rulebook_that_changed_is_refused(finished: Path, tmp_path: Path) -> None:
    specs, out = tmp_path / "specs", tmp_path / "run"
    shutil.copytree(DATA / "greenhouse", specs / "greenhouse")
    shutil.copytree(finished, out)
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "specs": str(specs)}))
    book = specs / "greenhouse" / "rulebooks" / "default.yaml"
    book.write_text(book.read_text().replace("weight: 2", "weight: 3"))
    code, _, err = resume(out)
    assert code == 2
    assert "has changed since it began: rulebook_digest: was " in err


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    code, _, err = resume(tmp_path)
    assert code == 2
    assert "not a run directory: expected a config.json in it" in err


def test_a_model_that_knows_nothing_leaves_no_adapter(tmp_path: Path) -> None:
    """Random weights: nothing parses, so there is no pair."""
    import torch

    model = tmp_path / "random"
    shutil.copytree(BASE, model)
    base = load_model(BASE, "cpu", len(load_tokenizer(BASE)))
    torch.manual_seed(0)
    for parameter in base.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    base.save_pretrained(str(model))
    code, _, err = run_main(*beginning(tmp_path / "run", model=model))
    assert code == 2
    assert "samples.jsonl: no pair: of 128 answers no two to one task are 0.1 apart" in err
    assert not (tmp_path / "run" / "adapter").exists()
    code, _, err = run_main(*beginning(tmp_path / "paper", "--mode", "paper", "--world", "universal", model=model))
    assert code == 2
    assert "are 1 rules apart with a better one that parses (the best keeps 0); no adapter was made" in err


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        pytest.param(12_000, "File too large; `train --resume", id="samples"),
        pytest.param(225_000, "round-1/unfinished: cannot be written: Error while serializing", id="weights"),
        pytest.param(400_000, "round-1/unfinished: cannot be written: [enforce fail at", id="optimiser"),
    ],
)
def test_a_full_disk_stops_a_stage_and_loses_nothing(finished: Path, tmp_path: Path, limit: int, message: str) -> None:
    out = tmp_path / "run"
    with largest_file(limit):
        code, _, err = run_main(*beginning(out))
    assert code == 2
    assert message in err
    assert "goes on when that is mended" in err
    code, _, err = resume(out)
    assert code == 0, err
    assert weights(out) == weights(finished)


@pytest.mark.slow
def test_a_run_that_is_killed_ten_times_ends_with_the_same_adapter(finished: Path, tmp_path: Path) -> None:
    """Killed at random moments of all stages, then resumed to the end."""
    rng = random.Random(0)
    out = tmp_path / "run"
    words = command(out)
    begin = time.monotonic()
    subprocess.run([*VERILORA, "train", "--help"], env=environment(), capture_output=True)
    startup = time.monotonic() - begin
    num_kills = 0
    while num_kills < 10:
        with subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            try:
                _, stderr = process.communicate(timeout=rng.uniform(startup, startup + 10))
            except subprocess.TimeoutExpired:
                process.kill()
                num_kills += 1
            else:
                # It ended before the kill came: once more from the beginning.
                assert process.returncode == 0, stderr
                assert weights(out) == weights(finished)
                shutil.rmtree(out)
        resuming = (out / "config.json").exists()
        words = [*VERILORA, "train", "--resume", str(out)] if resuming else command(out)
    assert run(words).returncode == 0
    assert weights(out) == weights(finished)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0])
def test_an_interrupt_while_modules_load_is_heeded(seconds: float, tmp_path: Path) -> None:
    """What is imported then would swallow it, and training went on."""
    with subprocess.Popen(
        command(tmp_path / "run"),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A parent that runs in the background may ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            time.sleep(seconds)
            os.killpg(process.pid, signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert re.fullmatch(r"(interrupted|stopped; .*)\n", errors), errors
