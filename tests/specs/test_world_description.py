"""Descriptions of worlds."""

import pytest

from verilora.specs.domain import Domain
from verilora.specs.logic import Formula
from verilora.specs.world_description import UNIVERSAL

FILE = "worlds.yaml"
BENCH = "free: [dry_soil, frost]"
ALL = ("dry_soil", "tank_empty", "frost", "door_open")


def test_what_the_file_says_is_what_the_world_is(greenhouse: Domain) -> None:
    glasshouse = greenhouse.world("glasshouse")
    assert glasshouse.english == "in the glasshouse"
    assert glasshouse.free == ALL
    assert glasshouse.constant == ()
    assert glasshouse.constraints == (Formula("G !(frost & door_open)"),)
    assert glasshouse.fairness == Formula("GF(dry_soil & !tank_empty & !frost & !door_open)")


def test_what_the_file_leaves_out_is_empty(greenhouse: Domain) -> None:
    bench = greenhouse.world("seedling_bench")
    assert (bench.free, bench.constant, bench.constraints) == (("dry_soil", "frost"), (), ())
    assert bench.fairness == Formula("true")


def test_the_order_of_the_file_is_kept_with_the_universal_world_first(greenhouse: Domain) -> None:
    assert list(greenhouse.worlds) == [UNIVERSAL, "glasshouse", "seedling_bench"]


def test_a_universal_world_that_is_not_described_is_there_all_the_same(copy) -> None:
    described = "  universal:\n    english: anywhere\n    free: all\n"
    copy.replace(FILE, f"{described}    fairness: GF(dry_soil & !tank_empty & !frost & !door_open)\n", "")
    universal = copy.load()[0].world(UNIVERSAL)
    assert universal.free == ALL
    assert universal.fairness == Formula("true")


def test_a_described_universal_world_keeps_its_fairness(greenhouse: Domain) -> None:
    universal = greenhouse.world(UNIVERSAL)
    assert universal.free == ALL
    assert universal.english == "anywhere"
    assert universal.fairness == Formula("GF(dry_soil & !tank_empty & !frost & !door_open)")


def test_all_frees_every_proposition_of_the_vocabulary(copy) -> None:
    copy.replace(FILE, BENCH, "free: all")
    assert copy.load()[0].world("seedling_bench").free == ALL


def test_a_world_may_have_constant_propositions_and_none_that_is_free(copy) -> None:
    copy.replace(FILE, BENCH, "free: []\n    constant: [frost, dry_soil]")
    bench = copy.load()[0].world("seedling_bench")
    assert (bench.free, bench.constant) == ((), ("frost", "dry_soil"))


@pytest.mark.parametrize(
    ("new", "at", "message"),
    [
        pytest.param(
            "free: [dry_soil, frst]",
            "frst",
            "worlds.seedling_bench.free[1]: unknown proposition: got 'frst', "
            "expected one of door_open, dry_soil, frost, tank_empty (did you mean 'frost'?)",
            id="unknown free",
        ),
        pytest.param(
            "free: [dry_soil]\n    constant: [heat]",
            "constant:",
            "worlds.seedling_bench.constant[0]: unknown proposition: got 'heat', "
            "expected one of door_open, dry_soil, frost, tank_empty",
            id="action as constant",
        ),
        pytest.param(
            "free:\n      - frost\n      - frost  # again",
            "# again",
            "worlds.seedling_bench.free[1]: duplicate proposition 'frost'",
            id="free twice",
        ),
        pytest.param(
            "free: [dry_soil]\n    constant: [frost, frost]",
            "constant:",
            "worlds.seedling_bench.constant[1]: duplicate proposition 'frost'",
            id="constant twice",
        ),
        pytest.param(
            "free: [dry_soil, frost]\n    constant: [frost]",
            "constant:",
            "worlds.seedling_bench.constant: 'frost' is both free and constant",
            id="free and constant",
        ),
        pytest.param(
            "free: all\n    constant: [tank_empty, frost]",
            "constant:",
            "worlds.seedling_bench.constant: 'frost' is both free and constant",
            id="all free and two constant",
        ),
        pytest.param(
            f"{BENCH}\n    constraints:\n      - G !(frost & dry_soil)\n      - GF frost",
            "- GF frost",
            "worlds.seedling_bench.constraints[1]: 'GF frost' is not of the form of a safety "
            "formula (what never happens)",
            id="recurrence as constraint",
        ),
        pytest.param(
            f"{BENCH}\n    constraints: [dry_soil U frost]",
            "constraints: [dry_soil",
            "worlds.seedling_bench.constraints[0]: 'dry_soil U frost' is not of the form of a safety "
            "formula (what never happens)",
            id="guarantee as constraint",
        ),
        pytest.param(
            f"{BENCH}\n    constraints: [G(frost -> !heat)]",
            "constraints: [G(frost",
            "worlds.seedling_bench.constraints[0]: unknown proposition in 'G(frost -> !heat)': got 'heat', "
            "expected one of door_open, dry_soil, frost, tank_empty",
            id="constraint over an action",
        ),
        pytest.param(
            f"{BENCH}\n    constraints: [G(frost -> )]",
            "constraints: [G(frost",
            "worlds.seedling_bench.constraints[0]: syntax error at column 12 of 'G(frost -> )': "
            "unexpected closing parenthesis",
            id="constraint with a syntax error",
        ),
        pytest.param(
            f"{BENCH}\n    constraints: [G !frost]\n    constraint_reasons: [warm, and snug]",
            "constraint_reasons: [warm",
            "worlds.seedling_bench.constraint_reasons: expected one for each constraint or none at all, "
            "got 2 for 1 constraints",
            id="more reasons than constraints",
        ),
        pytest.param(
            f"{BENCH}\n    fairness: GF hold",
            "fairness: GF hold",
            "worlds.seedling_bench.fairness: unknown proposition in 'GF hold': got 'hold', "
            "expected one of door_open, dry_soil, frost, tank_empty",
            id="fairness over an action",
        ),
        pytest.param(
            f"{BENCH}\n    fairness: '{{frost;dry_soil}}'",
            "fairness: '{",
            "worlds.seedling_bench.fairness: '{frost;dry_soil}' is not a formula of linear temporal logic",
            id="fairness in PSL",
        ),
    ],
)
def test_bad_world(copy, new: str, at: str, message: str) -> None:
    copy.replace(FILE, BENCH, new)
    copy.rejects(FILE, at, message)


@pytest.mark.parametrize(
    "restricted",
    [
        pytest.param("free: [dry_soil, frost]", id="not all free"),
        pytest.param("free: [dry_soil, tank_empty, frost]\n    constant: [door_open]", id="one constant"),
        pytest.param("free: all\n    constraints: [G !(dry_soil & frost)]", id="constrained"),
    ],
)
def test_the_universal_world_cannot_be_restricted(copy, restricted: str) -> None:
    copy.replace(FILE, "free: all", restricted)
    message = "in the universal world all is free and nothing constrained: expected 'free: all'"
    copy.rejects(FILE, "  universal:", f"worlds.universal: {message}")


def test_the_universal_world_may_list_all_by_name(copy) -> None:
    copy.replace(FILE, "free: all", "free: [frost, tank_empty, door_open, dry_soil]")
    assert set(copy.load()[0].world(UNIVERSAL).free) == set(ALL)


def test_a_file_without_worlds(copy) -> None:
    copy.write(FILE, "worlds: {}\n")
    copy.rejects(FILE, "worlds:", "worlds: ", "at least 1 item")


def test_bad_world_name(copy) -> None:
    copy.replace(FILE, "  seedling_bench:", "  seedling-bench:")
    copy.rejects(FILE, "seedling-bench:", "worlds.seedling-bench: expected a name", "got 'seedling-bench'")
