"""The commands that drive in the simulator, run as a user runs them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from PIL import Image

from verilora.envs.recording import read_recording
from verilora.specs.domain import Domain, load_domain
from verilora.specs.learned_world import LABELS, read_learned_world
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.build import parse_controller
from verilora.synth.controllers.controller import Ending, Reading
from verilora.synth.controllers.hoa import to_hoa
from verilora.verify.audits.audit import FIRST_SEED, run_controller
from verilora.verify.checking.compiled import Compiler
from verilora.verify.checking.trace import TraceChecker, TraceStatus

from command_line import run_main
from controllers import BEFORE

DATA = Path(__file__).parent / "data"
TASK = "right-at-traffic-light"
# Without what tells a program where a screen is.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("SDL_", "XDG_", "DISPLAY"))}
ENVIRONMENT |= {"COLUMNS": "160"}
DEADLINE = 60.0
"""How long to wait at most, in seconds, for what should take two."""
NUM_EPISODES = 30
"""To learn from where that is interrupted: enough not to be over too soon."""


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "verilora", *map(str, arguments)]


def verilora(*arguments: str | Path, text: bytes = b"") -> tuple[int, str, str]:
    """Run the command line in a process of its own; return exit code, output and errors."""
    done = subprocess.run(
        command(*arguments), input=text, capture_output=True, check=False, timeout=120, env=ENVIRONMENT
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    path = tmp_path / "steps.txt"
    path.write_text(f"Task: {TASK}\n{BEFORE}\n")
    return path


@pytest.fixture
def idle(tmp_path: Path) -> Path:
    path = tmp_path / "idle.txt"
    path.write_text(f"Task: {TASK}\n1. stop\n2. stop\n")
    return path


@pytest.fixture(scope="module")
def specs(driving: Domain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a domain that is the driving one with the tasks of one world, nothing of it learned."""
    folder = tmp_path_factory.mktemp("specs")
    shutil.copytree(driving.folder, folder / "driving", ignore=shutil.ignore_patterns("worlds"))
    path = folder / "driving" / "tasks.yaml"
    content = yaml.safe_load(path.read_text())
    content["tasks"] = [task for task in content["tasks"] if task["world"] == "wide_median"]
    path.write_text(yaml.safe_dump(content))
    return folder


def learn(specs: Path, folder: Path, *more: str, episodes: int = 6) -> tuple[str | Path, ...]:
    where = ("--specs", specs, "--out", folder, "--recordings", folder / "recordings")
    return ("world", "learn", *where, "--episodes", str(episodes), "--held-out", "2", *more)


def worlds(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "worlds").iterdir()}


def test_a_violation_is_found_and_replayed(driving: Domain, steps: Path, tmp_path: Path) -> None:
    gif = tmp_path / "new folder" / "replay.gif"
    arguments = ("--ending", "one-shot", "--episodes", "48", "--processes", "2", "--replay", gif, "--rule", "phi5")
    code, out, err = verilora("drive", *arguments, steps)
    assert (code, err) == (1, "")
    assert "48 episodes in traffic_light: " in out
    first, _, rest = out.splitlines()[-1].partition(", which breaks phi5, is replayed in ")
    assert rest == str(gif)
    seed = int(first.removeprefix("episode "))
    reading = Reading(ending=Ending.ONE_SHOT)
    (episode,) = run_controller(BEFORE, "traffic_light", (seed,), driving.vocabulary, reading)
    rules = {rule.id: rule.formula for rule in driving.rulebook().rules}
    assert TraceChecker(rules, Compiler()).statuses(episode.letters)["phi5"] is TraceStatus.VIOLATED
    in_the_way = {"car_from_left", "pedestrian_at_right"}
    assert any("turn_right" in letter and letter & in_the_way for letter in episode.letters)
    with Image.open(gif) as image:
        assert image.n_frames == len(episode.letters) + 1
        assert image.size[1] == 600


def test_a_controller_that_never_acts_and_a_rule_that_is_never_broken(idle: Path, tmp_path: Path) -> None:
    gif = tmp_path / "replay.gif"
    code, out, err = run_main("drive", "--episodes", "2", "--processes", "1", "--replay", gif, "--rule", "phi5", idle)
    assert (code, err) == (1, "")
    lines = [line.rstrip() for line in out.splitlines()]
    ended = "0 arrived, 0 crashed (0 by their own fault), 2 were still waiting at the horizon"
    counts = {name: line.split()[2] for line in lines for name in ("goal reached", "never acted") if name in line[:15]}
    assert counts == {"goal reached": "0", "never acted": "2"}
    assert lines[-3:] == [
        f"2 episodes in traffic_light: {ended}",
        "! its goal was not reached in 2 of 2 episodes, which is most of them",
        "phi5: not reproduced in 2 episodes, so no replay was written",
    ]
    assert not gif.exists()


def test_an_audit_as_json(idle: Path) -> None:
    code, out, _ = run_main("drive", "--episodes", "2", "--processes", "1", "--json", idle)
    found = json.loads(out)
    assert code == 1
    assert (found["file"], found["task_id"], found["num_never_moved"]) == (str(idle), TASK, 2)
    assert found["findings"] == ["its goal was not reached in 2 of 2 episodes, which is most of them"]
    assert {rule["violated"] for rule in found["rules"]} == {0}


def test_a_machine_in_hoa_is_driven_as_the_steps_it_was_made_of(
    driving: Domain, alignment: Alignment, steps: Path, tmp_path: Path
) -> None:
    reading = Reading(ending=Ending.ONE_SHOT)
    machine = tmp_path / "machine.hoa"
    machine.write_text(f"Task: {TASK}\n{to_hoa(parse_controller(BEFORE, alignment, reading))}")
    gif = tmp_path / "machine.gif"
    arguments = ("--ending", "one-shot", "--episodes", "12", "--processes", "1")
    code, out, err = run_main("drive", *arguments, "--replay", gif, machine)
    by_steps = run_main("drive", *arguments, steps)
    assert (code, err) == (by_steps[0], "")
    tables = [[line for line in text.splitlines() if line.startswith(" phi")] for text in (out, by_steps[1])]
    assert tables[0] == tables[1] != []
    with Image.open(gif) as image:
        assert image.n_frames > 2
    machine.write_text(f"Task: {TASK}\nHOA: v1\nnonsense")
    code, out, err = run_main("drive", machine)
    assert (code, out) == (2, "")
    assert "machine.hoa: not an HOA machine" in err


def test_any_episode_can_be_replayed(tmp_path: Path) -> None:
    gif = tmp_path / "a name that tells no format"
    text = b"1. wait until no car from left and no pedestrian in front then go straight\n2. go to step 1\n"
    arguments = ("--for", "straight-at-roundabout", "--episodes", "1", "--replay", gif, "-")
    code, out, err = run_main("drive", *arguments, text=text)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"episode {FIRST_SEED} is replayed in {gif}"
    with Image.open(gif) as image:
        assert image.format == "GIF"
    # There is no light to be green at a roundabout.
    rules = [line.split()[0] for line in out.splitlines() if line.startswith(" phi")]
    assert len(rules) == 13
    assert not {"phi3", "phi8"} & {*rules}
    code, out, err = run_main("drive", *arguments[:-1], "--rule", "phi3", "-", text=text)
    assert (code, out) == (2, "")
    assert "the rule 'phi3' is not judged in the world 'roundabout': it presumes what does not exist there" in err


def test_a_replay_that_cannot_be_written_is_named(idle: Path) -> None:
    code, out, err = run_main("drive", "--episodes", "1", "--replay", idle / "replay.gif", idle)
    assert (code, err) == (2, f"error: {idle / 'replay.gif'}: cannot be written: File exists\n")
    assert "1 episodes in traffic_light" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rule", "phi99", "--replay", "never.gif"], "no such rule: got 'phi99', expected one of "),
        (["--rule", "phi5"], "--rule chooses the episode to --replay: expected both"),
        (["--for", "left-at-roundabout"], f"names the task '{TASK}', --for names 'left-at-roundabout'"),
        (["--rulebook", "mine"], "no such rulebook: got 'mine', expected one of author-smv, default"),
        (["--task", "flying"], "no such task domain (a folder with propositions.yaml): got 'flying'"),
        (["--episodes", "0"], "Invalid value for '--episodes'"),
        (["--processes", "0"], "Invalid value for '--processes'"),
    ],
)
def test_unusable_arguments_of_drive(steps: Path, arguments: list[str], message: str) -> None:
    code, out, err = run_main("drive", *arguments, steps)
    assert (code, out) == (2, "")
    assert message in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"Task: {TASK}\n1. hope for the best\n2. stop\n", "steps.txt: step 1: unknown action: got 'hope for best'"),
        (f"Task: {TASK}\n", "steps.txt: "),
        ("Task: fly\n1. stop\n2. stop\n", "steps.txt: no such task: got 'fly'"),
        ("1. stop\n2. stop\n", "steps.txt: no task: expected --for ID or a first line 'Task: ID'"),
    ],
    ids=["an unknown action", "nothing", "an unknown task", "no task"],
)
def test_what_is_no_controller_of_a_task(steps: Path, text: str, message: str) -> None:
    steps.write_text(text)
    code, out, err = run_main("drive", "--episodes", "2", steps)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


def test_a_domain_without_a_simulator(tmp_path: Path) -> None:
    greenhouse = ("--specs", DATA, "--task", "greenhouse")
    known = "left_turn_light, roundabout, traffic_light, two_way_stop, wide_median"
    code, _, err = run_main("drive", *greenhouse, "--for", "water-glasshouse", DATA / "greenhouse-steps.txt")
    assert code == 2
    assert err.endswith(f"greenhouse-steps.txt: cannot be simulated: got 'glasshouse', expected one of {known}\n")
    code, out, err = run_main("world", "learn", *greenhouse, "--out", tmp_path, "--recordings", tmp_path / "recordings")
    assert (code, out) == (2, "")
    assert "greenhouse/worlds.yaml: no world can be simulated: expected one of traffic_light, " in err
    code, out, err = run_main("world", "show", *greenhouse)
    assert (code, out, err) == (0, "No learned world ships; `verilora world learn` makes them.\n", "")


def test_worlds_are_learned_again_from_recordings_and_refused_from_others(
    specs: Path, tmp_path: Path, driving: Domain
) -> None:
    code, out, err = run_main(*learn(specs, tmp_path, "--processes", "1"))
    assert (code, err) == (0, "")
    assert "wide_median: 8 of 8" in out
    assert "  car_from_left, pedestrian_in_front: 6 episodes, " in out
    first = worlds(tmp_path)
    names = sorted(name for name in os.listdir(driving.folder / "worlds") if name.startswith("wide_median."))
    assert sorted(first) == names
    recording = tmp_path / "recordings" / "wide_median.jsonl"
    recorded = recording.read_bytes()
    for name in names:
        learned = read_learned_world(tmp_path / "worlds" / name, driving.worlds)
        assert learned.labels == LABELS
        assert learned.provenance["seeds"] == "0 to 5"
        assert (learned.coverage["episodes"], learned.coverage["held_out_episodes"]) == (6, 2)
        steps = [len(episode.labels) for episode in read_recording(recording).episodes[:6]]
        assert sum(transition.count for transition in learned.transitions) == sum(steps)

    shutil.rmtree(tmp_path / "worlds")
    assert run_main(*learn(specs, tmp_path))[0] == 0
    assert worlds(tmp_path) == first
    # Of a longer recording the beginning serves: the first episodes to learn from, the next ones to measure on.
    code, _, err = run_main(*learn(specs, tmp_path, episodes=3))
    assert (code, err, recording.read_bytes()) == (0, "", recorded)
    assert read_learned_world(tmp_path / "worlds" / names[0], driving.worlds).coverage["episodes"] == 3
    recording.write_text("notes\n")
    code, _, err = run_main(*learn(specs, tmp_path))
    assert (code, err) == (2, f"error: {recording}:1: not JSON: Expecting value at column 1\n")
    assert recording.read_text() == "notes\n"
    assert recorded.count(b"\n") == 9

    shown = tmp_path / "shown"
    shutil.copytree(specs, shown)
    shutil.copytree(tmp_path / "worlds", shown / "driving" / "worlds")
    code, out, err = run_main("world", "show", "--specs", shown)
    assert (code, err, out.count("wide_median over ")) == (0, "", len(names))
    assert load_domain("driving", shown).tasks


@pytest.mark.parametrize("options", [("--rule", "phi5", "--replay", "out.gif"), ("--for", TASK)], ids=["replay", "for"])
def test_what_only_a_file_takes_is_refused_with_a_run(options: tuple[str, ...], tmp_path: Path) -> None:
    code, out, err = run_main("drive", "--run", tmp_path, *options)
    assert (code, out) == (2, "")
    assert "go with a FILE, got --run" in " ".join(err.split())


@pytest.fixture(scope="module")
def whole(specs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which worlds were learned without a break."""
    folder = tmp_path_factory.mktemp("whole")
    assert verilora(*learn(specs, folder, "--processes", "2", episodes=NUM_EPISODES))[0] == 0
    return folder


def heed_interrupts() -> None:
    """Undo what a shell does to commands in the background: they ignore Ctrl-C, and so does all that they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("num_processes", [1, 2])
def test_interrupted_and_run_again_it_learns_the_same(
    specs: Path, whole: Path, tmp_path: Path, num_processes: int
) -> None:
    recording = tmp_path / "recordings" / "wide_median.jsonl"
    arguments = learn(specs, tmp_path, "--processes", str(num_processes), episodes=NUM_EPISODES)
    with subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    ) as running:
        try:
            deadline = time.monotonic() + DEADLINE
            while not (recording.exists() and recording.read_bytes().count(b"\n") > 3):
                assert running.poll() is None, "it ended before it was interrupted"
                assert time.monotonic() < deadline
                time.sleep(0.01)
            # What a terminal sends on Ctrl-C: to the command and to all its processes.
            os.killpg(running.pid, signal.SIGINT)
            _, errors = running.communicate(timeout=DEADLINE)
        finally:
            running.kill()
    assert running.returncode == 130
    kept = f"interrupted: {tmp_path / 'recordings'} keeps what is recorded; the same command goes on from there\n"
    assert errors.decode() == kept
    num_lines = recording.read_bytes().count(b"\n")
    assert 3 < num_lines < NUM_EPISODES + 3
    assert not worlds(tmp_path)

    assert verilora(*arguments)[0] == 0
    assert recording.read_bytes() == (whole / "recordings" / "wide_median.jsonl").read_bytes()
    assert worlds(tmp_path) == worlds(whole)


def test_a_drive_that_is_interrupted_judges_nothing(steps: Path) -> None:
    arguments = command("drive", "--episodes", "1000", "--processes", "2", steps)
    with subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    ) as running:
        try:
            assert running.stdout is not None
            # It says so as soon as the first episodes are done.
            while b": 100 of 1000" not in running.stdout.readline():
                assert running.poll() is None
            os.killpg(running.pid, signal.SIGINT)
            out, errors = running.communicate(timeout=DEADLINE)
        finally:
            running.kill()
    assert running.returncode == 130
    assert errors.decode() == f"interrupted: the episodes of {steps} were not all driven, so nothing is judged\n"
    assert b"kept" not in out


@pytest.mark.parametrize("where", ["--out", "--recordings"])
def test_a_place_where_nothing_can_be_written(specs: Path, tmp_path: Path, where: str) -> None:
    occupied = tmp_path / "occupied"
    occupied.write_text("a file")
    arguments = [*learn(specs, tmp_path / "good")]
    arguments[arguments.index(where) + 1] = occupied
    code, _, err = run_main(*arguments)
    assert (code, occupied.read_text()) == (2, "a file")
    assert err.startswith(f"error: {occupied}")
    assert ": cannot be written: " in err


def test_the_worlds_that_ship_are_shown(driving: Domain) -> None:
    code, out, err = verilora("world", "show")
    assert (code, err) == (0, "")
    assert out.count(" over ") == len({(task.world, frozenset(task.relevant)) for task in driving.tasks.values()})
    code, out, err = run_main("world", "show", "roundabout")
    assert (code, err) == (0, "")
    assert out.count("roundabout over ") == 2
    path = driving.folder / "worlds" / "roundabout.car_from_left.pedestrian_in_front.json"
    started = sum(found["count"] for found in json.loads(path.read_text())["transitions"] if found["source"] is None)
    assert any(line.split()[:3] == ["the", "start", str(started)] for line in out.splitlines())
    assert "no constraint and no exclusion: nothing is ruled out" in out
    assert out.count("possible but unseen: ") == 2
    code, out, err = run_main("world", "show", "wide_median")
    assert (code, err) == (0, "")
    assert "constraint: G !(car_from_left & car_from_right) (only the half that comes next is looked at, " in out
    assert "from                                   unseen   to, though possible" in out
    code, out, err = run_main("world", "show", "left_turn_light")
    assert "excluded: G !(green_traffic_light & green_left_turn_light) (the arrow has a phase of its own, " in out
    code, out, err = run_main("world", "show", "moon")
    assert (code, out) == (2, "")
    assert "worlds.yaml: no such world: got 'moon', expected one of left_turn_light, roundabout, " in err
