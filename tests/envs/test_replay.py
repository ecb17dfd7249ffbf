"""Replays: a frame a second, with what was the case and the current step, and what became of it."""

import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pygame
import pytest
from PIL import Image

from verilora.envs import replay
from verilora.envs.episode import Episode, run_episode
from verilora.envs.policy import ControllerPolicy
from verilora.envs.scenario import make_env
from verilora.specs.domain import Domain
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.build import parse_controller
from verilora.synth.controllers.controller import Reading

WORLD, SEED = "roundabout", 2
LINES = ["1. wait until no car from left then go straight", "2. go to step 1"]


def policy(domain: Domain) -> ControllerPolicy:
    return ControllerPolicy(parse_controller("\n".join(LINES), Alignment(domain.vocabulary), Reading()))


def save(path: Path, domain: Domain, seed: int = SEED) -> Episode:
    return replay.save_replay(path, WORLD, policy(domain), seed, domain.vocabulary, LINES)


@pytest.fixture(scope="module")
def made(driving: Domain, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Episode]:
    path = tmp_path_factory.mktemp("replays") / "a" / "folder" / "replay.gif"
    return path, save(path, driving)


def test_it_is_the_episode_that_is_driven_without_pictures(driving: Domain, made: tuple[Path, Episode]) -> None:
    _, episode = made
    assert run_episode(make_env(WORLD), policy(driving), "controller", SEED, driving.vocabulary) == episode


def test_a_frame_a_second_and_the_outcome(made: tuple[Path, Episode]) -> None:
    path, episode = made
    with Image.open(path) as image:
        assert image.format == "GIF"
        assert image.size == (600 + replay.PANEL_WIDTH, 600)
        assert image.n_frames == len(episode.labels) + 1
        assert image.info["loop"] == 0
        frames = []
        for number in range(image.n_frames):
            image.seek(number)
            assert image.info["duration"] == replay.FRAME_MILLISECONDS
            frames.append(np.asarray(image.convert("RGB")))
            assert len(image.convert("RGB").crop((0, 0, 600, 600)).getcolors(2**20)) > 4, "the road"
            assert (frames[-1][:, 600:] < 64).any(), "the text"
    assert np.array_equal(frames[-1][:, :600], frames[-2][:, :600])


def test_equal_seeds_give_equal_files(driving: Domain, made: tuple[Path, Episode], tmp_path: Path) -> None:
    save(tmp_path / "again.gif", driving)
    assert (tmp_path / "again.gif").read_bytes() == made[0].read_bytes()
    assert save(tmp_path / "other.gif", driving, SEED + 1) != made[1]
    assert (tmp_path / "other.gif").read_bytes() != made[0].read_bytes()


def test_what_stands_beside_the_picture(driving: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panels: list[list[str]] = []
    beside = replay._beside

    def spy(picture: Image.Image, lines: list[str]) -> Image.Image:
        panels.append(lines)
        return beside(picture, lines)

    monkeypatch.setattr(replay, "_beside", spy)
    episode = save(tmp_path / "replay.gif", driving)
    english = driving.vocabulary.english
    following = policy(driving)
    for second, (labels, action) in enumerate(zip(episode.labels, episode.actions, strict=True)):
        following(frozenset(labels))
        panel = panels[second]
        assert panel[0] == f"second {second}"
        case = panel[panel.index("what is the case:") + 1 : panel.index(f"action: {english[action]}") - 1]
        assert [line.strip() for line in case] == ([english[name] for name in labels] or ["nothing"])
        marked = [number for number, line in enumerate(panel[-2:], start=1) if line.startswith("> ")]
        assert marked == sorted({*following.steps})
        assert [line[2:] for line in panel[-2:]] == LINES
    outcome = "crashed" if episode.crashed else "arrived" if episode.arrived else "still waiting at the end"
    assert panels[-1] == [outcome]
    assert len(panels) == len(episode.labels) + 1


def test_pictures_need_no_screen_and_leave_nothing_behind() -> None:
    """In a process of its own, since what pygame has open is common to all of a process."""
    code = f"""
import os, gymnasium, pygame
from verilora.envs.scenario import make_env
env = make_env({WORLD!r}, render_mode="rgb_array")
env.reset(seed=0)
assert env.render().any()
assert "SDL_VIDEODRIVER" not in os.environ and not pygame.display.get_init()
env.step(0)
assert env.render().any()
os.environ["SDL_VIDEODRIVER"] = "offscreen"
other = make_env({WORLD!r}, render_mode="rgb_array")
other.reset(seed=0)
assert other.render().any() and os.environ["SDL_VIDEODRIVER"] == "offscreen"
"""
    without = {name: value for name, value in os.environ.items() if not name.startswith(("SDL_", "XDG_"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True, env=without)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_viewers_of_highway_env_draw_as_before() -> None:
    def merge() -> np.ndarray:
        env = gymnasium.make("merge-v0", render_mode="rgb_array")
        env.reset(seed=7)
        return env.render()

    before = merge()
    is_open = pygame.display.get_init()
    ours = make_env(WORLD, render_mode="rgb_array")
    ours.reset(seed=0)
    ours.render()
    ours.close()
    assert pygame.display.get_init() == is_open
    assert before.any()
    assert np.array_equal(merge(), before)
