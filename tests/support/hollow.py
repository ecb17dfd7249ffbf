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

CRASHING = {
    "straight without a look at the main road": (
        "straight-at-two-way-stop",
        "1. if no pedestrian in front, go straight\n2. stop",
        "straight_yields",
    ),
    "straight without a look at the ring": (
        "straight-at-roundabout",
        "1. if no pedestrian in front, go straight\n2. stop",
        "straight_yields",
    ),
    "right with an empty step before it": (
        "right-at-roundabout",
        "1. if car from left and no car from left, turn left, otherwise go to step 2\n"
        "2. wait until no car from left and no pedestrian at right, then turn right\n3. stop",
        "turn_clear_front",
    ),
    "right after a look at a sign that is not there": (
        "right-at-roundabout",
        "1. observe stop sign\n2. wait until no car from left and no pedestrian at right, then turn right",
        "turn_clear_front",
    ),
    "right under a light that is not there": (
        "right-at-roundabout",
        "1. wait until no green light and no car from left and no pedestrian at right, then turn right\n2. stop",
        "turn_clear_front",
    ),
    "left on red": (
        "left-at-traffic-light",
        "1. wait until no car from left and no car from right and no opposite car and no pedestrian at left, "
        "then turn left\n2. stop",
        "left_needs_green",
    ),
    "left into pedestrians": (
        "left-at-traffic-light",
        "1. wait until green light and no car from left and no car from right and no opposite car, then turn left\n"
        "2. stop",
        "left_clear_exit",
    ),
    "right on red before an oncoming car": (
        "right-at-traffic-light",
        "1. wait until no car from left and no pedestrian at right, then turn right\n2. stop",
        "right_on_red_yields",
    ),
}
"""What keeps the rules of `paper` and every gate: its task, its steps, and the rule of `default` that it breaks."""
