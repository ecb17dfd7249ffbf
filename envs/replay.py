"""Replays: an episode as an animated picture, with what is the case and the current step beside it."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..specs.vocabulary import Vocabulary
from .episode import Episode, run_episode
from .policy import ControllerPolicy
from .scenario import make_env

PANEL_WIDTH = 330
"""Width of the text beside the picture in pixels."""
FRAME_MILLISECONDS = 700
"""How long a second of the simulation is shown."""


def save_replay(
    path: Path, world: str, policy: ControllerPolicy, seed: int, vocabulary: Vocabulary, lines: Sequence[str]
) -> Episode:
    """Drive an episode again, write it as a GIF and return it; `lines` are the response's steps, the current marked."""
    env = make_env(world, render_mode="rgb_array")
    frames: list[Image.Image] = []

    def watch(labels: tuple[str, ...], action: str) -> None:
        picture = Image.fromarray(np.asarray(env.render()))
        frames.append(_beside(picture, _panel(len(frames), labels, action, policy.steps, lines, vocabulary)))

    try:
        episode = run_episode(env, policy, "controller", seed, vocabulary, watch)
    finally:
        env.close()
    outcome = "crashed" if episode.crashed else "arrived" if episode.arrived else "still waiting at the end"
    frames.append(_beside(frames[-1].crop((0, 0, frames[-1].width - PANEL_WIDTH, frames[-1].height)), [outcome]))
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:], duration=FRAME_MILLISECONDS, loop=0)
    return episode


def _panel(
    second: int,
    labels: Sequence[str],
    action: str,
    steps: Sequence[int],
    lines: Sequence[str],
    vocabulary: Vocabulary,
) -> list[str]:
    """Return the text beside one frame."""
    case = [f"  {vocabulary.english[name]}" for name in labels] or ["  nothing"]
    marked = [("> " if number in steps else "  ") + line for number, line in enumerate(lines, start=1)]
    done = f"action: {vocabulary.english[action]}"
    return [f"second {second}", "", "what is the case:", *case, "", done, "", *marked]


def _beside(picture: Image.Image, lines: Sequence[str]) -> Image.Image:
    frame = Image.new("RGB", (picture.width + PANEL_WIDTH, picture.height), "white")
    frame.paste(picture, (0, 0))
    wrapped = [part for line in lines for part in wrap(line, 44, subsequent_indent="    ") or [""]]
    ImageDraw.Draw(frame).multiline_text(
        (picture.width + 12, 12), "\n".join(wrapped), fill="black", font=ImageFont.load_default(13), spacing=5
    )
    return frame
