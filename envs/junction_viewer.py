"""Pictures of the worlds."""

import os
from typing import Any

import numpy as np
import pygame
from highway_env.envs.common.graphics import EnvViewer
from highway_env.road.graphics import RoadGraphics, WorldSurface
from numpy.typing import NDArray

from .crossing import Crossing
from .path import Path
from .pedestrian import Pedestrian

COLOURS = {"green": (40, 220, 60), "amber": (255, 190, 0), "red": (240, 40, 40)}
WHITE, PEDESTRIAN = (255, 255, 255), (255, 140, 0)
ARROW = ((-1.3, 0), (0.2, -1.2), (0.2, -0.4), (1.3, -0.4), (1.3, 0.4), (0.2, 0.4), (0.2, 1.2))
"""Corners of the left arrow in metres."""
STRIPE, SPACE = 0.5, 0.6
"""Width of a crossing's stripes and of the spaces between them in metres."""


class JunctionViewer(EnvViewer):
    """A viewer as highway-env's, which also draws crossings, stop lines, lights, stop signs and pedestrians."""

    def __init__(self, env: Any) -> None:
        if not env.config["offscreen_rendering"]:
            super().__init__(env)
            return
        # A picture needs no screen, and looking for one writes on standard error. Neither the driver nor the display
        # may stay: highway-env draws nothing as long as the driver is set, and a window would open on the dummy.
        had_display, driver = pygame.display.get_init(), os.environ.get("SDL_VIDEODRIVER")
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        try:
            super().__init__(env)
        finally:
            if driver is None:
                del os.environ["SDL_VIDEODRIVER"]
            if not had_display:
                pygame.display.quit()

    def window_position(self) -> NDArray[np.float64]:
        """Return the centre of the picture in metres: that of the junction, not the ego."""
        return np.zeros(2)

    def display(self) -> None:
        """Draw everything on the surface, and on the screen if there is one."""
        surface, road = self.sim_surface, self.env.road
        surface.move_display_window_to(self.window_position())
        RoadGraphics.display(road, surface)
        for crossing in road.layout.crossings:
            _draw_crossing(surface, crossing)
        for (arm, _), path in road.layout.paths.items():
            if path.manoeuvre == "go_straight" and arm not in road.right_of_way.main_arms:
                for gate in path.gates:
                    _draw_line(surface, path, gate)
            _draw_sign(surface, road.right_of_way, arm, path)
        RoadGraphics.display_traffic(road, surface, offscreen=self.offscreen)
        for person in road.pedestrians:
            _draw_pedestrian(surface, person)
        if not self.offscreen:
            self.screen.blit(surface, (0, 0))
            pygame.display.flip()

    def close(self) -> None:
        """Close the window; pygame stays open for the viewers of other environments."""
        if not self.offscreen:
            pygame.display.quit()


def _draw_crossing(surface: WorldSurface, crossing: Crossing) -> None:
    along = (np.array(crossing.end) - np.array(crossing.start)) / crossing.length
    across = np.array([-along[1], along[0]]) * crossing.width / 2
    for offset in np.arange(0.3, crossing.length, STRIPE + SPACE):
        corners = [crossing.position(offset + step) + side * across for step, side in _CORNERS]
        pygame.draw.polygon(surface, WHITE, [surface.vec2pix(corner) for corner in corners])


_CORNERS = ((0, -1), (0, 1), (STRIPE, 1), (STRIPE, -1))


def _draw_line(surface: WorldSurface, path: Path, gate: float) -> None:
    segment = path.segment(gate)
    lane, along = path.lanes[segment], gate - path.starts[segment]
    start, end = (surface.vec2pix(lane.position(along, side * lane.width / 2)) for side in (-1, 1))
    pygame.draw.line(surface, WHITE, start, end, max(surface.pix(0.5), 2))


def _draw_sign(surface: WorldSurface, right_of_way: Any, arm: int, path: Path) -> None:
    """Draw an arm's light (its arrow above it) or its stop sign, at the right of its line."""
    lane, gate = path.lanes[0], path.gates[0]
    heading = path.heading(gate)
    place = surface.vec2pix(lane.position(gate, lane.width))
    if right_of_way.light:
        if path.manoeuvre == "go_straight":
            pygame.draw.circle(surface, COLOURS[right_of_way.light.colour(arm)], place, surface.pix(1.1))
            pygame.draw.circle(surface, (0, 0, 0), place, surface.pix(1.1), 1)
        elif arm == 0 and path.manoeuvre == "turn_left" and right_of_way.light.has_arrow:
            place = surface.vec2pix(lane.position(gate, lane.width + 3))
            colour = COLOURS["green" if right_of_way.light.phase == "arrow" else "red"]
            pygame.draw.polygon(
                surface, colour, [(place[0] + surface.pix(x), place[1] + surface.pix(y)) for x, y in ARROW]
            )
    elif arm in right_of_way.stop_signs:
        turns = heading + np.pi / 8 + np.arange(8) * np.pi / 4
        octagon = [(place[0] + surface.pix(1.4 * np.cos(t)), place[1] + surface.pix(1.4 * np.sin(t))) for t in turns]
        pygame.draw.polygon(surface, COLOURS["red"], octagon)
        pygame.draw.polygon(surface, WHITE, octagon, 2)


def _draw_pedestrian(surface: WorldSurface, person: Pedestrian) -> None:
    place = surface.vec2pix(person.position)
    pygame.draw.circle(surface, PEDESTRIAN, place, max(surface.pix(0.6), 3))
    pygame.draw.circle(surface, (0, 0, 0), place, max(surface.pix(0.6), 3), 1)
