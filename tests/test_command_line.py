"""The commands, run as a user runs them: one of each in a process of its own, most others in this one."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import jsonschema
import pytest
from hollow import HOLLOW

from verilora.specs.domain import Domain
from verilora.verify.rulebooks.lint import Examination, RulebookLint

from command_line import run_main, without_progress
from controllers import BEFORE, YIELDING
from machines import ring

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"
TASK = "right-at-traffic-light"
SCHEMA = json.loads((ROOT / "docs" / "verdict.schema.json").read_text())
COMMANDS = (
    "verify",
    "rules",
    "drive",
    "synthesize",
    "world learn",
    "world record",
    "world show",
    "report",
    "certify",
    "train",
    "serve",
    "bench",
    "adapters add",
    "adapters update",
    "adapters remove",
    "adapters list",
)


def verilora(
    *arguments: str | Path, text: bytes = b"", environment: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """Run the command line in a process of its own; return exit code, output and errors."""
    done = subprocess.run(
        [sys.executable, "-m", "verilora", *map(str, arguments)],
        input=text,
        capture_output=True,
        check=False,
        timeout=120,
        env={**os.environ, "COLUMNS": "160", **(environment or {})},
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.txt"
    path.write_text(f"Task: {TASK}\n{YIELDING}\n")
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.txt"
    path.write_text(BEFORE)
    return path


def test_a_controller_that_keeps_everything(good: Path) -> None:
    code, out, err = verilora("verify", good)
    assert (code, err) == (0, "")
    assert "compliance 100%" in out
    assert "world traffic_light (simulated)" in out
    assert "learned from the simulator: green traffic light, car from left" in out


def test_violations_are_told_step_by_step(bad: Path) -> None:
    code, out, _ = run_main("verify", "--for", TASK, "--ending", "one-shot", "--no-fairness", bad)
    assert code == 1
    assert "phi5" in out
    lines = out.splitlines()
    last = max(number for number, line in enumerate(lines) if "4. if no pedestrian at right, turn right" in line)
    assert any("car from left" in line and line.rstrip().endswith("turn right") for line in lines[: last + 1])


def test_several_files_give_the_highest_code_and_one_json_array(good: Path, bad: Path, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.txt"
    nonsense.write_text("1. hope for the best\n2. stop\n")
    code, out, _ = run_main("verify", "--for", TASK, "--json", good, bad, nonsense)
    verdicts = json.loads(out)
    assert code == 2
    assert [verdict["file"] for verdict in verdicts] == [str(good), str(bad), str(nonsense)]
    assert [verdict["valid"] for verdict in verdicts] == [True, True, False]
    assert "step 1: unknown action: got 'hope for best'" in verdicts[2]["invalid"]
    assert run_main("verify", "--for", TASK, good, bad)[0] == 1


def test_a_file_that_cannot_be_used_does_not_stop_the_others(good: Path, tmp_path: Path) -> None:
    code, out, err = run_main("verify", "--json", tmp_path / "missing.txt", good)
    assert code == 2
    assert json.loads(out)[1]["all_kept"] is True
    assert f"error: {tmp_path / 'missing.txt'}: cannot be read: No such file or directory" in err


def test_standard_input() -> None:
    code, out, _ = verilora("verify", "--for", TASK, "-", text=YIELDING.encode())
    assert (code, "compliance 100%" in out) == (0, True)


def test_hoa_machines(tmp_path: Path, driving: Domain) -> None:
    from verilora.synth.controllers.hoa import to_hoa

    from controllers import guarded_right

    path = tmp_path / "machine.hoa"
    machine = to_hoa(guarded_right(driving))
    for text in (
        machine,
        f"/* 20240101 */\n{machine}",
        f"REALIZABLE\r\n{machine}",
        f"Task: {TASK}\nREALIZABLE\n{machine}",
    ):
        path.write_text(text)
        code, out, err = run_main("verify", "--for", TASK, path)
        assert (code, err) == (0, "")
        assert "compliance 100%" in out
    path.write_text("UNREALIZABLE\n")
    code, out, _ = run_main("verify", "--for", TASK, path)
    assert code == 2
    assert "UNREALIZABLE: a tool found no machine, expected one in HOA" in out


def test_no_task_lists_the_ids(bad: Path, driving: Domain) -> None:
    code, _, err = run_main("verify", bad)
    assert code == 2
    assert "no task: expected --for ID or a first line 'Task: ID'" in err
    assert all(task_id in err for task_id in driving.tasks)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--for", "left-at-roundabout"], "names the task 'right-at-traffic-light', --for names 'left-at-roundabout'"),
        (["--task", "flying"], "no such task domain (a folder with propositions.yaml): got 'flying'"),
        (["--rulebook", "defualt"], "no such rulebook: got 'defualt', expected one of author-smv, default"),
        (["--mode", "paper", "--world", "abstract"], "got all runs of the abstract world"),
        (["--time-limit", "0"], "the time limit must be more than 0 s and at most 86400 s, got 0.0"),
        (["--time-limit", "inf"], "the time limit must be more than 0 s and at most 86400 s, got inf"),
    ],
)
def test_unusable_arguments_end_with_2_and_a_reason(good: Path, arguments: list[str], message: str) -> None:
    code, out, err = run_main("verify", *arguments, good)
    assert (code, out) == (2, "")
    assert message in " ".join(err.replace("│", " ").split())


def test_a_world_whose_fairness_leaves_no_run(good: Path, driving: Domain, tmp_path: Path) -> None:
    shutil.copytree(driving.folder, tmp_path / "driving")
    worlds = tmp_path / "driving" / "worlds.yaml"
    described = (f"  {name}: {{free: all, fairness: GF stop_sign & FG !stop_sign}}" for name in driving.worlds)
    worlds.write_text("\n".join(("worlds:", *described)))
    for arguments in (["verify", good], ["rules"], ["train"]):
        code, _, err = run_main(arguments[0], "--specs", tmp_path, *arguments[1:])
        assert code == 2
        assert f"error: {worlds}: worlds." in err
        assert "no run satisfies the fairness 'GF stop_sign & FG !stop_sign'" in err


@pytest.mark.parametrize(
    "first", ["Task: right-at-traffic-light", "task : right-at-traffic-light ", "TASK:right-at-traffic-light"]
)
def test_spellings_of_the_task_line(tmp_path: Path, first: str) -> None:
    path = tmp_path / "steps.txt"
    path.write_bytes(f"{first}\r\n{YIELDING}".replace("\n", "\r\n").encode())
    assert run_main("verify", path)[0] == 0


def test_a_task_line_that_names_no_task_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "steps.txt"
    path.write_text(f"Task: turn right at the traffic light\n{YIELDING}")
    code, _, err = run_main("verify", path)
    assert (code, f"{path}: no such task: got 'turn right at the traffic light'" in err) == (2, True)


def test_text_in_data_is_not_markup_and_any_terminal_will_do(tmp_path: Path) -> None:
    path = tmp_path / "machine.hoa"
    machine = 'HOA: v1\nStates: 1\nStart: 0\nAP: 4 "stop" "go_straight" "turn_left" "turn_right"\n'
    path.write_text(machine + 'Acceptance: 0 t\n--BODY--\nState: 0 "[/red] :car:"\n[0&!1&!2&!3] 0\n--END--\n')
    code, out, err = verilora("verify", "--for", TASK, path, environment={"PYTHONIOENCODING": "ascii"})
    assert (code, err) == (1, "")
    assert "[/red] :car:" in out


def test_standard_input_that_is_closed() -> None:
    command = [sys.executable, "-m", "verilora", "verify", "--for", TASK, "-"]
    done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *command], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (2, "error: standard input: cannot be read: it is closed\n")


def test_results_do_not_depend_on_the_hash_seed() -> None:
    def ask(seed: str) -> tuple[int, str, str]:
        arguments = ("rules", "--task", "greenhouse", "--specs", DATA, "--json")
        return verilora(*arguments, environment={"PYTHONHASHSEED": seed})

    assert ask("1") == ask("2") == ask("3")


def test_a_file_of_ten_megabytes(tmp_path: Path) -> None:
    huge = tmp_path / "huge.txt"
    huge.write_bytes(b"1. stop\n" * 1_250_000)
    code, _, err = run_main("verify", "--for", TASK, huge)
    assert (code, "huge.txt: is too large: expected at most 1,048,576 bytes" in err) == (2, True)
    code, _, err = verilora("verify", "--for", TASK, "-", text=huge.read_bytes())
    assert (code, "standard input: is too large" in err) == (2, True)


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "binary.txt"
    path.write_bytes(b"1. stop\n2. \xff\xfe\n")
    code, _, err = run_main("verify", "--for", TASK, path)
    assert (code, "binary.txt:2: expected UTF-8 text, got the byte 0xff" in err) == (2, True)


def test_probabilities_after_some_seconds(bad: Path) -> None:
    arguments = ("verify", "--for", TASK, "--ending", "one-shot", "--within", "15", bad)
    code, out, _ = run_main(*arguments, "--json")
    (verdict,) = json.loads(out)
    jsonschema.Draft202012Validator(SCHEMA).validate([verdict])
    scores = verdict["within"]
    assert code == 1
    assert all(sum(shares.values()) == pytest.approx(1) for shares in scores.values())
    # It checks for the car from the left, but two seconds early.
    assert 0 < scores["phi5"]["violated"] < scores["phi14"]["violated"] < 1
    assert scores["phi3"] == {"kept": pytest.approx(1), "pending": 0, "violated": 0}
    _, out, _ = run_main(*arguments)
    assert "after 15 seconds, in the learned world" in out
    _, out, _ = run_main(*arguments, "--world", "abstract")
    assert "no probabilities: the verdict does not rest on a learned world" in out


def test_probabilities_that_take_too_long_are_left_out(good: Path) -> None:
    code, out, err = run_main("verify", "--within", "1000000000", "--deadline", "6", good, "--json")
    (verdict,) = json.loads(out)
    jsonschema.Draft202012Validator(SCHEMA).validate([verdict])
    assert (code, err, verdict["all_kept"], verdict["within"]) == (0, "", True, {})


def test_what_the_deadline_leaves_is_unknown(good: Path) -> None:
    code, out, err = run_main("verify", "--for", TASK, "--deadline", "1e-6", "--json", good)
    (verdict,) = json.loads(out)
    jsonschema.Draft202012Validator(SCHEMA).validate([verdict])
    assert (code, err) == (1, "")
    assert {part["status"] for part in (*verdict["rules"], *verdict["gates"])} == {"unknown"}
    _, told, _ = run_main("verify", "--for", TASK, "--deadline", "1e-6", "--within", "15", good)
    assert "left undone at the deadline of 1e-06 s" in told
    assert "unknown: it takes too long" in told
    for seconds in ("0", "nan", "inf"):
        code, _, err = run_main("verify", "--for", TASK, "--deadline", seconds, good)
        assert (code, "the deadline must be more than 0 s" in err) == (2, True)


def test_a_long_witness_is_shown_in_full_where_that_is_asked_for(tmp_path: Path, driving: Domain) -> None:
    machine = tmp_path / "ring.hoa"
    machine.write_text(ring(driving.vocabulary, 100))
    arguments = ("verify", "--for", TASK, machine)
    _, short, _ = run_main(*arguments)
    left_out = [int(number) for number in re.findall(r"… (\d+) more instants \(all with --full-witness\)", short)]
    assert min(left_out) >= 36
    _, full, _ = run_main(*arguments, "--full-witness")
    assert "more instants" not in full
    assert full.count("\n") == short.count("\n") + sum(left_out) - len(left_out)
    (told,) = json.loads(run_main(*arguments, "--json")[1])
    (whole,) = json.loads(run_main(*arguments, "--json", "--full-witness")[1])
    jsonschema.Draft202012Validator(SCHEMA).validate([told, whole])
    lengths = [
        (rule["witness"]["num_before"], len(rule["witness"]["prefix"])) for rule in told["rules"] if rule["witness"]
    ]
    assert {sum(pair) for pair in lengths} == {100}
    assert len(json.dumps(told)) < len(json.dumps(whole))


def test_paper_mode(good: Path) -> None:
    code, out, _ = run_main("verify", "--mode", "paper", "--json", good)
    (verdict,) = json.loads(out)
    assert (code, verdict["world_kind"], verdict["runs"], verdict["raw_kept"]) == (1, "universal", "all", 12)


def test_rules_of_one_world() -> None:
    code, out, err = run_main("rules", "--world", "traffic_light", "--controllers", "--time-limit", "60")
    assert (code, without_progress(err)) == (0, "")
    # Two of each rule; without a goal and with each of three, on almost all runs, on fair ones and on all.
    assert err.endswith("rulebook default, questions answered: 52 of 52\n")
    assert "questions answered" not in out
    assert "18 of 20" in out
    assert "1. wait until (no car from left and green traffic light and no pedestrian at right" in out
    assert "almost all" in out
    assert run_main("rules", "--world", "moon")[0] == 2


@pytest.mark.parametrize(("num_answered", "as_json"), [(17, False), (17, True), (41, False), (41, True)])
def test_who_stops_the_examination_gets_what_is_found(
    num_answered: int, as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Examination.run

    def interrupted(examination: Examination) -> Iterator[RulebookLint]:
        yield from islice(whole(examination), num_answered)
        raise KeyboardInterrupt

    monkeypatch.setattr(Examination, "run", interrupted)
    code, out, err = run_main("rules", "--world", "traffic_light", *(["--json"] if as_json else []))
    assert (code, without_progress(err)) == (130, "interrupted: not all questions are answered\n")
    # Seventeen of twenty rules are translated and none examined; then all, and one question of the world is answered.
    is_early = num_answered == 17
    if as_json:
        found = json.loads(out)
        assert (found["complete"], len(found["rules"]), len(found["worlds"])) == (
            False,
            *((0, 0) if is_early else (20, 1)),
        )
    else:
        assert ("right_on_red_yields" in out, "rules apply" in out) == (not is_early, not is_early)
        assert out.count("digest") == 1


def test_an_interrupt_of_the_system_ends_a_long_question_with_what_is_found(tmp_path: Path) -> None:
    """A rule that would take its limit of an hour: before it stands one that is examined at once."""
    domain = tmp_path / "greenhouse"
    shutil.copytree(DATA / "greenhouse", domain)
    hard = " & ".join(f"GF (dry_soil U (hold & {'X' * depth} frost))" for depth in range(1, 14))
    book = "description: hard\nrules:\n" + "".join(
        f"  - id: {name}\n    formula: {formula}\n    english: a rule\n"
        for name, formula in (("easy", "G hold"), ("hard", hard))
    )
    (domain / "rulebooks" / "hard.yaml").write_text(book)
    arguments = ["rules", "--task", "greenhouse", "--specs", tmp_path, "--rulebook", "hard", "--time-limit", "3600"]
    with subprocess.Popen(
        [sys.executable, "-m", "verilora", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, interrupts are ignored, and what they start would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        try:
            assert running.stdout
            assert running.stderr
            assert "questions answered: 1 of" in running.stderr.readline()
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
        finally:
            running.kill()
    assert (running.returncode, err.splitlines()[-1]) == (130, "interrupted: not all questions are answered")
    assert "rulebook hard of greenhouse, 2 rules" in out


def test_a_domain_without_driving_needs_no_code() -> None:
    arguments = ("--task", "greenhouse", "--specs", DATA)
    code, out, err = run_main("rules", *arguments, "--json")
    found = json.loads(out)
    assert (code, without_progress(err), found["problems"], len(found["rules"])) == (0, "", [], 5)
    assert found["complete"]
    code, out, _ = run_main("verify", *arguments, "--for", "water-glasshouse", "--json", DATA / "greenhouse-steps.txt")
    assert (code, json.loads(out)[0]["all_kept"]) == (0, True)


def test_a_waiver_is_shown_and_changes_nothing(tmp_path: Path) -> None:
    shutil.copytree(DATA / "greenhouse", tmp_path / "greenhouse")
    waiver = {"rule": "spare_pump", "by": "A. Gardener", "reason": "A test.", "date": "2026-01-31"}
    with (tmp_path / "greenhouse" / "rulebooks" / "default.yaml").open("a") as book:
        book.write("waivers:\n  - " + "\n    ".join(f"{key}: {value}" for key, value in waiver.items()) + "\n")
    steps = tmp_path / "steps.txt"
    steps.write_text("1. open the valve\n2. hold\n")
    told = "waived by A. Gardener on 2026-01-31: A test."
    words = ("verify", "--task", "greenhouse", "--for", "water-glasshouse", steps)
    (code, out, err), (waived_code, waived, waived_err) = (run_main(*words, "--specs", at) for at in (DATA, tmp_path))
    assert (code, err) == (waived_code, waived_err) == (1, "")
    assert "VIOLATED" in next(line for line in waived.splitlines() if told in line)
    assert waived.replace(f" ({told})", "").replace("─", "").split() == out.replace("─", "").split()
    (before,), (after,) = (json.loads(run_main(*words, "--specs", at, "--json")[1]) for at in (DATA, tmp_path))
    assert before.pop("rulebook_digest") != after.pop("rulebook_digest")
    assert before == after
    rules = ("rules", "--task", "greenhouse", "--world", "glasshouse", "--specs")
    assert f"weight 2. {told}" in run_main(*rules, tmp_path)[1]
    assert json.loads(run_main(*rules, tmp_path, "--json")[1])["waivers"] == [waiver]
    assert json.loads(run_main(*rules, DATA, "--json")[1])["waivers"] == []


def test_the_first_screen_says_what_the_product_does() -> None:
    code, out, err = verilora("--help")
    assert (code, err) == (0, "")
    assert "Fine-tune a language model with a model checker in the loop." in out
    assert "numbered steps" in out
    assert "`verilora COMMAND --help` tells the options of a command and its exit codes." in out
    listed = {line.split()[1] for line in out.partition("Commands")[2].splitlines() if line.startswith("│ ")}
    assert {command.split()[0] for command in COMMANDS} <= listed
    code, shown, _ = verilora()
    assert (code, shown.split()) == (2, out.split())


def test_the_version() -> None:
    found = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert found
    assert verilora("--version") == (0, f"verilora {found[1]}\n", "")


@pytest.mark.parametrize("command", ["", "world", "adapters", *COMMANDS])
def test_help_has_a_short_name_everywhere(command: str) -> None:
    code, out, err = run_main(*command.split(), "-h")
    assert (code, err) == (0, "")
    assert run_main(*command.split(), "--help") == (code, out, err)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does_and_then_what_its_exit_codes_mean(command: str) -> None:
    _, out, _ = run_main(*command.split(), "--help")
    lines = [line.strip() for line in out.splitlines()]
    assert re.fullmatch(r"[A-Z][^0-9]*\.", lines[3]), lines[3]
    codes = [line.partition(": ")[0] for line in lines[lines.index("Exit codes:") + 1 :] if line]
    assert codes[0] == "0"
    assert {"2", "3"} <= {*codes} <= {"0", "1", "2", "3", "130"}
    assert codes == sorted(codes, key=int)


def test_train_alone_has_the_help_of_verilora_train() -> None:
    code = "import sys; sys.argv[0] = 'train'; from verilora.__main__ import train_main; train_main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "-h"],
        capture_output=True, check=False, text=True, env={**os.environ, "COLUMNS": "160"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "Train a LoRA adapter on the verifier's verdicts" in done.stdout
    assert "\n 130: it was interrupted" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"), [("verilora ver", "verify\n"), ("verilora verify --rule", "--rulebook\n")]
)
def test_a_shell_completes_commands_and_options(words: str, expected: str) -> None:
    code = "import sys; sys.argv[0] = 'verilora'; from verilora.__main__ import main; main()"
    asked = {"_VERILORA_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, text=True, env={**os.environ, **asked}
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["verify", "--help"], ["verify", "--for", TASK, "-"], ["rules", "--help"]]
)
def test_the_light_commands_do_not_import_torch(arguments: list[str]) -> None:
    code = "import sys\nfrom verilora.__main__ import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "sys.exit(sum(name in sys.modules for name in ('torch', 'transformers', 'gymnasium')))"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], input=YIELDING.encode(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


FORGED = "\x1b[2J\x1b[Hcompliance 100%; all kept\x1b[8m\u202e"
FORGED_SHOWN = r"\x1b[2J\x1b[Hcompliance 100%; all kept\x1b[8m\u202e"


def test_a_file_cannot_forge_the_screen(tmp_path: Path) -> None:
    machine = tmp_path / "forged.hoa"
    machine.write_text(MACHINE.replace("State: 0", f'State: 0 "{FORGED}"'))
    code, out, err = run_main("verify", "--for", TASK, machine)
    assert (code, err) == (1, "")
    assert FORGED_SHOWN in out
    assert not {"\x1b", "\u202e"} & {*out}
    as_json = run_main("verify", "--json", "--for", TASK, machine)[1]
    assert FORGED in {
        moment["state"]
        for rule in json.loads(as_json)[0]["rules"]
        for moment in (rule["witness"] or {"prefix": []})["prefix"]
    }


@pytest.mark.parametrize("content", [f"1. {FORGED}", f"Task: {FORGED}\n1. Stop.", f"{FORGED}", f"HOA: v1 {FORGED}"])
def test_errors_cannot_forge_the_screen(tmp_path: Path, content: str) -> None:
    path = tmp_path / f"{FORGED.replace('%', '')}\nerror.txt"
    path.write_text(content)
    code, out, err = run_main("verify", "--for", TASK, path)
    assert code == 2
    assert not {"\x1b", "\u202e"} & {*out, *err}
    assert "\nerror.txt" not in out + err


MACHINE = """HOA: v1
States: 1
Start: 0
AP: 7 "green_traffic_light" "car_from_left" "pedestrian_at_right" "stop" "go_straight" "turn_left" "turn_right"
acc-name: all
Acceptance: 0 t
controllable-AP: 3 4 5 6
--BODY--
State: 0
[0&!3&!4&!5&6] 0
[!0&3&!4&!5&!6] 0
--END--
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "GOOD"),
        ("verify", "--json", "GOOD"),
        ("rules", "--json"),
        ("world", "show"),
        ("--help",),
        ("--version",),
    ],
)
def test_output_that_cannot_be_written(arguments: tuple[str, ...], good: Path) -> None:
    words = [str(good) if word == "GOOD" else word for word in arguments]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "verilora", *words], check=False, stdout=full, stderr=subprocess.PIPE, text=True
        )
    told = f"error: standard output cannot be written: {os.strerror(errno.ENOSPC)}\n"
    assert (done.returncode, without_progress(done.stderr)) == (2, told)


def test_a_reader_that_has_gone(good: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "verilora", "verify", "--json", good], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


@pytest.mark.parametrize(
    "arguments", [("verify",), ("rules", "--world", "traffic_light"), ("drive", "--episodes", "1")]
)
def test_where_warnings_are_errors(arguments: tuple[str, ...], good: Path) -> None:
    """Spot's types warn while they are made, and to raise an error there ended the process with a signal."""
    words = arguments if arguments[0] == "rules" else (*arguments, good)
    code, out, err = verilora(*words, environment={"PYTHONWARNINGS": "error"})
    assert (code, without_progress(err)) == (0, "")
    assert "rule" in out


def test_waiting_for_what_hardly_ever_comes_is_told_and_fails(tmp_path: Path) -> None:
    task_id, steps = HOLLOW["straight, and then on the median for a car that never comes there"]
    path = tmp_path / "hollow.txt"
    path.write_text(f"Task: {task_id}\n{steps}\n")
    code, out, _ = run_main("verify", path)
    assert code == 1
    told = " ".join(out.split())
    assert "gate timely NOT REACHED" in told
    assert "because a gate failed" in told
    code, out, _ = run_main("verify", "--json", path)
    (found,) = json.loads(out)
    jsonschema.validate([found], SCHEMA)
    assert (code, found["timely"]["status"], found["timely"]["share"], found["compliance"]) == (1, "not_reached", 0, 0)
    assert [line["line"] for line in found["timely"]["lines"]] == [1, 2]


def test_a_book_of_which_no_rule_applies_judges_nothing(tmp_path: Path) -> None:
    shutil.copytree(DATA / "greenhouse", tmp_path / "greenhouse")
    book = "description: One rule.\nrules:\n  - id: spare_pump\n    formula: G(tank_empty -> !open_valve)\n"
    book += "    english: The valve never opens while the tank is empty.\n    presumes: [tank_empty]\n"
    (tmp_path / "greenhouse" / "rulebooks" / "lone.yaml").write_text(book)
    steps = tmp_path / "steps.txt"
    steps.write_text("Task: water-seedling-bench\n1. open the valve\n2. hold\n")
    arguments = ("verify", "--specs", tmp_path, "--task", "greenhouse", "--rulebook", "lone", steps)
    code, out, err = run_main(*arguments)
    assert (code, err) == (2, "")
    assert "no rule of the rulebook 'lone' applies to the world 'seedling_bench', so nothing can be judged" in out
    assert "compliance undefined, because no rule applies; raw count 1 of 1" in out
    code, out, _ = run_main(*arguments, "--json")
    assert (code, json.loads(out)[0]["compliance"]) == (2, None)
