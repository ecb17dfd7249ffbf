"""A rule that asks for a full stop at the stop sign: examined, kept and broken, through the command line."""

import shutil
from pathlib import Path

import pytest

from verilora.specs.domain import Domain

from command_line import run_main, without_progress

BOOK = """\
extends: default
description: The rules that ship, and a full stop at the stop sign.
rules:
  - id: full_stop
    formula: G((go_straight | turn_left | turn_right) & stop_sign -> at_line)
    english: At a stop sign the car sets off only from a standstill at its line.
    presumes: [stop_sign]
"""
TASK = "straight-at-two-way-stop"
CLEAR = "no car from left and no car from right and no pedestrian in front"
KEPT = f"1. wait until at the line and {CLEAR}, then go straight\n2. stop\n"
BROKEN = f"1. wait until {CLEAR}, then go straight\n2. stop\n"


@pytest.fixture(scope="module")
def specs(driving: Domain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the driving domain that has the book besides."""
    folder = tmp_path_factory.mktemp("specs")
    shutil.copytree(driving.folder, folder / "driving")
    (folder / "driving" / "rulebooks" / "full-stop.yaml").write_text(BOOK)
    return folder


def run(command: str, specs: Path, *more: str, text: str = "") -> tuple[int, str]:
    arguments = ("--specs", specs, "--rulebook", "full-stop", *more, *(["-"] if text else []))
    code, out, err = run_main(command, *arguments, text=text.encode())
    assert without_progress(err) == ""
    return code, out


def test_it_can_be_kept_with_every_manoeuvre(specs: Path) -> None:
    code, out = run("rules", specs, "--world", "two_way_stop")
    assert code == 0, out
    asked = [line.split() for line in out.splitlines() if " almost all " in line]
    assert [("yes" in words, words[-1]) for words in asked] == [(True, "-"), *[(True, "satisfied")] * 3]


@pytest.mark.parametrize("world", ["abstract", "simulated"])
def test_who_waits_at_the_line_keeps_it(specs: Path, world: str) -> None:
    code, out = run("verify", specs, "--for", TASK, "--world", world, text=KEPT)
    assert code == 0, out


@pytest.mark.parametrize("world", ["abstract", "simulated"])
def test_who_does_not_look_where_it_is_breaks_it(specs: Path, world: str) -> None:
    code, out = run("verify", specs, "--for", TASK, "--world", world, text=BROKEN)
    assert code == 1
    told = [line.split()[1:3] for line in out.splitlines() if line.split()[:1] == ["full_stop"]]
    assert told == [["VIOLATED", "1"], ["is", "violated:"]]


@pytest.mark.parametrize(("steps", "kept"), [(KEPT, True), (BROKEN, False)], ids=["kept", "broken"])
def test_the_simulator_shows_it(specs: Path, tmp_path: Path, steps: str, kept: bool) -> None:
    path = tmp_path / "steps.txt"
    path.write_text(steps)
    where = ("--specs", specs, "--rulebook", "full-stop", "--for", TASK)
    _, out, _ = run_main("drive", *where, "--episodes", "20", "--processes", "1", path)
    (row,) = [line.split() for line in out.splitlines() if line.split()[:1] == ["full_stop"]]
    num_kept, num_pending, num_at_horizon, num_violated = map(int, row[1:5])
    assert (num_pending, num_at_horizon, num_kept + num_violated) == (0, 0, 20)
    assert (num_violated == 0) if kept else (num_violated > 10)
    assert "(0 by their own fault)" in out
