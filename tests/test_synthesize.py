"""`verilora synthesize`, run as a user runs it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from verilora.__main__ import main
from verilora.serving.engine.generator import Generator
from verilora.specs.domain import SHIPPED, Domain
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.steps import parse_steps
from verilora.verify.certificates.certificate import write_certificate
from verilora.verify.certificates.content import BaseDigests
from verilora.verify.certificates.issue import new_certificate
from verilora.verify.verdicts.verifier import Verifier

from certificates import measurement
from tiny_models import base_model, save_tiny_adapter, save_tiny_model, tiny_tokenizer

DATA = Path(__file__).parent / "data"
TASK = "right-at-traffic-light"
SCHEMA = json.loads((Path(__file__).parents[1] / "docs" / "verdict.schema.json").read_text())
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def synthesize(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command in this process and returns exit code, output and errors."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["verilora", "synthesize", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "160")
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return run


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), tiny_tokenizer(["turn left", "stop"], chat=False), "qwen2")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """Return a run directory with an adapter for the embedded model, strong enough to change what it writes."""
    save_tiny_adapter(tmp_path / "run" / "adapter", base_model(), scale=0.5)
    return tmp_path / "run"


def test_the_embedded_model_writes_controllers_and_they_are_judged(driving: Domain) -> None:
    command = [sys.executable, "-m", "verilora", "synthesize", "--for", TASK, "-n", "16", "--json"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120, text=True)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["wording"] == driving.task(TASK).wordings["train"][0]
    assert (found["task_id"], found["model"], found["adapter"], found["seed"]) == (TASK, None, None, 0)
    assert found["model_digest"] == Generator().digest
    answers = found["answers"]
    assert sum(answer["count"] for answer in answers) == found["num_answers"] == 16
    assert len({answer["text"] for answer in answers}) == len(answers) > 1
    assert sum(answer["count"] for answer in answers if not answer["invalid"]) > 8
    ranks = [answer["verdict"]["rank"] for answer in answers]
    assert ranks == sorted(ranks, reverse=True)
    verifier = Verifier(driving, driving.rulebook())
    for answer in answers:
        jsonschema.validate([{"file": "", **answer["verdict"]}], SCHEMA)
        expected = verifier.verify_text(answer["text"], driving.task(TASK))
        assert answer["verdict"]["compliance"] == expected.compliance
    best = verifier.verify_text(answers[0]["text"], driving.task(TASK))
    assert done.returncode == best.exit_code()


def test_steps_verdict_and_witness_are_printed(synthesize: Run) -> None:
    code, out, err = synthesize("--for", TASK, "-n", "6", "--seed", "1")
    assert err == ""
    assert out.startswith("asked: Turn right at the traffic light\n\nanswer 1 of ")
    assert "  1. " in out
    assert f"task {TASK}, world traffic_light (simulated), rulebook default" in out
    assert "is violated: " in out
    assert "what is the case" in out
    assert out.splitlines()[-1].startswith("6 answers: ")
    assert synthesize("--for", TASK, "-n", "6", "--seed", "1") == (code, out, err)
    assert synthesize("--for", TASK, "-n", "6", "--seed", "2")[1] != out


def test_the_settings_of_verify_are_heeded(synthesize: Run) -> None:
    options = ("--rulebook", "no-right-on-red", "--world", "abstract", "--ending", "one-shot", "--otherwise", "advance")
    verdict = json.loads(synthesize("--for", TASK, "--json", *options)[1])["answers"][0]["verdict"]
    settings = [verdict[name] for name in ("rulebook", "world_kind", "ending", "otherwise")]
    assert settings == ["no-right-on-red", "abstract", "one-shot", "advance"]


def test_a_text_that_is_a_wording_names_its_task(synthesize: Run, driving: Domain) -> None:
    wording = driving.task(TASK).wordings["validation"][0].upper() + "!"
    found = json.loads(synthesize("--text", wording, "--json")[1])
    assert (found["task_id"], found["wording"]) == (TASK, wording)
    assert found["answers"][0]["verdict"]["task_id"] == TASK


def test_a_text_of_ones_own_is_judged_as_the_task_that_is_named(synthesize: Run) -> None:
    found = json.loads(synthesize("--text", "get me round the corner", "--for", TASK, "--json")[1])
    assert (found["task_id"], found["wording"]) == (TASK, "get me round the corner")
    assert found["answers"][0]["verdict"]["task_id"] == TASK


def test_a_text_of_no_task_is_read_but_not_judged(synthesize: Run, tiny: Path) -> None:
    constrained = ("--model", tiny, "--constrained", "--temperature", "0", "--text", "get me round the corner")
    code, out, _ = synthesize(*constrained)
    assert code in (1, 2)
    assert "none judged: these words are no task's wording" in out
    own = ("--text", "get me round the corner", "-n", "8")
    code, out, _ = synthesize(*own)
    assert code == 1
    assert "read as a controller, not judged" in out
    code, out, _ = synthesize(*own, "--json")
    answers = json.loads(out)["answers"]
    assert code == 1
    assert all(answer["verdict"] is None for answer in answers)
    assert [bool(answer["invalid"]) for answer in answers] == sorted(bool(answer["invalid"]) for answer in answers)


def test_a_model_that_knows_nothing_writes_nothing_of_use(synthesize: Run, tiny: Path) -> None:
    code, out, _ = synthesize("--for", TASK, "--model", tiny)
    assert code == 2
    assert "INVALID: " in out
    assert out.splitlines()[-1] == "1 answer: 0 keep all rules and gates, 1 invalid"


@pytest.mark.parametrize("align", [(), ("--align",)])
def test_under_the_grammar_even_that_model_writes_controllers(
    synthesize: Run, tiny: Path, greenhouse: Domain, align: tuple[str, ...]
) -> None:
    domain = ("--task", "greenhouse", "--specs", DATA, "--for", "water-glasshouse")
    _, out, err = synthesize(*domain, "--model", tiny, "--constrained", *align, "-n", "16", "--json")
    assert err == ""
    answers = json.loads(out)["answers"]
    read = [answer["text"] for answer in answers if not answer["invalid"]]
    assert len(read) > 3
    for text in read:
        parse_steps(text, Alignment(greenhouse.vocabulary))


def test_an_adapter_or_the_run_that_made_it(synthesize: Run, adapter: Path) -> None:
    ask = ("--text", "go", "-n", "2", "--json")
    plain = json.loads(synthesize(*ask)[1])
    by_run, by_folder = (
        json.loads(synthesize(*ask, "--adapter", folder)[1]) for folder in (adapter, adapter / "adapter")
    )
    assert by_run["answers"] == by_folder["answers"] != plain["answers"]
    assert by_run["model_digest"] == plain["model_digest"]


def test_an_adapter_that_is_not_the_certified_one_is_refused(synthesize: Run, adapter: Path, driving: Domain) -> None:
    measured = measurement(driving, "1. turn right\n2. stop", TASK)
    write_certificate(adapter / "adapter", new_certificate(adapter / "adapter", measured))
    _, out, err = synthesize("--for", TASK, "--adapter", adapter)
    what = f"warning: changed since {adapter / 'adapter'} was certified"
    assert err.splitlines() == [f"{what}: the base model", f"{what}: its tokenizer"]
    assert "answer 1 of 1" in out
    weights = adapter / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    code, out, err = synthesize("--for", TASK, "--adapter", adapter)
    assert (code, out) == (2, "")
    assert f"error: {weights}: is not the file that was certified" in err


def test_what_changed_since_an_adapter_was_certified_is_told(
    synthesize: Run, adapter: Path, driving: Domain, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(driving.folder, tmp_path / "specs" / "driving"))
    generator = Generator()
    base = BaseDigests(name="embedded", digest=generator.digest, tokenizer_digest=generator.tokenizer_digest)
    measured = measurement(driving, "1. turn right\n2. stop", TASK, base=base)
    write_certificate(adapter / "adapter", new_certificate(adapter / "adapter", measured))
    question = ("--for", TASK, "--adapter", adapter, "--specs", tmp_path / "specs")
    assert synthesize(*question)[2] == ""
    (moved / "tasks.yaml").write_text((moved / "tasks.yaml").read_text() + "# another edition\n")
    (moved / "worlds.yaml").write_text((moved / "worlds.yaml").read_text() + "# another edition\n")
    _, out, err = synthesize(*question, "--rulebook", "no-right-on-red")
    what = f"warning: changed since {adapter / 'adapter'} was certified"
    assert err.splitlines() == [
        f"{what}: the rulebook's name (was default, is no-right-on-red)",
        f"{what}: the rulebook",
        f"{what}: tasks.yaml",
        f"{what}: worlds.yaml",
    ]
    assert "answer 1 of 1" in out
    greenhouse = shutil.copytree(DATA / "greenhouse", tmp_path / "specs" / "greenhouse")
    _, _, err = synthesize(
        "--task", greenhouse.name, "--specs", tmp_path / "specs", "--text", "x", "--adapter", adapter
    )
    assert err.splitlines()[0] == f"{what}: the task domain (was driving, is greenhouse)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (),
            "error: synthesize: nothing to ask: expected a text (--text), or a task (--for), one of\n"
            "  right-at-traffic-light\n",
        ),
        (("--for", "fly"), f"error: {SHIPPED / 'driving' / 'tasks.yaml'}: no such task: got 'fly', expected one of "),
        (("--text", " \n"), "error: the text to ask with (--text): expected words, got none"),
        (("--for", TASK, "--rulebook", "none"), "none"),
        (("--for", TASK, "--model", "nowhere"), "error: nowhere: got nothing there, expected a model's or an"),
        (("--for", TASK, "--adapter", "nowhere"), "error: nowhere: got nothing there, expected a model's or an"),
        (("--for", TASK, "--device", "abacus"), "error: device 'abacus': cannot be used here: "),
        (
            ("--for", TASK, "--align"),
            "was trained to answer in the vocabulary: only a general model (--model) can be asked twice (--align)",
        ),
        (("--text", "turn right " * 2000), "a prompt has "),
        (("--for", TASK, "-n", "0"), "Invalid value for '-n'"),
        (("--for", TASK, "--temperature", "inf"), "temperature: expected a number from 0 up, got inf"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_asked(synthesize: Run, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = synthesize(*arguments)
    assert (code, out) == (2, "")
    assert message in err
