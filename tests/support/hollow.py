"""Controllers that keep all rules, goal and progress almost surely, and hardly ever move."""

HOLLOW = {
    "straight only while cars and pedestrians are on all sides": (
        "straight-at-traffic-light",
        "1. wait until green light and no pedestrian in front and car from left and car from right and opposite car "
        "and pedestrian at left and pedestrian at right, then go straight\n2. stop",
    ),
    "straight only while cars come from both sides": (
        "straight-at-traffic-light",
        "1. wait until green light and no pedestrian in front and car from left and car from right, then go straight\n"
        "2. stop",
    ),
    "straight, and then on the median for a car that never comes there": (
        "straight-at-wide-median",
        "1. wait until car from left and no pedestrian in front, then go straight\n2. stop",
    ),
    "left on red past a pedestrian": (
        "left-at-traffic-light",
        "1. wait until no green light and pedestrian at left and pedestrian in front and no car from left "
        "and no car from right and no opposite car, then turn left\n2. stop",
    ),
}
"""What each waits for, its task and its steps."""
