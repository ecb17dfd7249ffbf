import math
from dataclasses import replace

import numpy as np
import pytest

from verilora.serving.load.choices import Popularity, PromptKind
from verilora.serving.load.workload.arrivals import Arrivals
from verilora.serving.load.workload.lengths import LengthRange
from verilora.serving.load.workload.plan import Workload, plan_requests
from verilora.serving.load.workload.trace import TraceRow

MODELS = [f"tenant-{number}" for number in range(5)]
WORKLOAD = Workload(
    num_requests=200, arrivals=Arrivals(rate=10.0), input_len=LengthRange(8, 511), output_len=LengthRange(4, 31), seed=5
)


def test_the_same_options_make_the_same_plan() -> None:
    assert plan_requests(WORKLOAD, MODELS) == plan_requests(WORKLOAD, MODELS)


def test_a_plan_holds_what_is_asked_for() -> None:
    planned = plan_requests(WORKLOAD, MODELS)
    assert [one.number for one in planned] == [*range(200)]
    assert [one.at for one in planned] == sorted(one.at for one in planned)
    assert {one.model for one in planned} == {*MODELS}
    assert all(8 <= one.input_len <= 511 and 4 <= one.output_len <= 31 for one in planned)
    assert all(len(one.prompt) == one.input_len for one in planned)
    assert len({one.prompt for one in planned}) == 200


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (replace(WORKLOAD, seed=6), ()),
        (replace(WORKLOAD, arrivals=Arrivals(rate=10.0, cv=4.0)), ("model", "prompt", "input_len", "output_len")),
        (replace(WORKLOAD, popularity=Popularity.SKEWED), ("at", "prompt", "input_len", "output_len")),
        (replace(WORKLOAD, output_len=LengthRange(1, 9)), ("at", "model", "prompt", "input_len")),
        (replace(WORKLOAD, input_len=LengthRange(1, 9)), ("at", "model", "output_len")),
        (replace(WORKLOAD, prompts=PromptKind.WORDS), ("at", "model", "input_len", "output_len")),
    ],
    ids=["seed", "arrivals", "popularity", "output", "input", "prompts"],
)
def test_a_change_of_one_part_leaves_the_others_as_they_were(changed: Workload, same: tuple[str, ...]) -> None:
    before, after = plan_requests(WORKLOAD, MODELS), plan_requests(changed, MODELS)
    for name in ("at", "model", "prompt", "input_len", "output_len"):
        is_same = [getattr(one, name) for one in before] == [getattr(one, name) for one in after]
        assert is_same == (name in same), name


def test_what_is_drawn_apart_is_independent() -> None:
    num = 4000
    planned = plan_requests(replace(WORKLOAD, num_requests=num, prompts=PromptKind.WORDS), MODELS)
    gaps = np.diff([one.at for one in planned], prepend=0)
    drawn = [gaps, *([getattr(one, name) for one in planned] for name in ("input_len", "output_len"))]
    drawn.append([MODELS.index(one.model) for one in planned])
    correlations = np.corrcoef(drawn) - np.eye(4)
    # Five standard errors.
    assert np.abs(correlations).max() < 5 / math.sqrt(num)


def test_more_requests_begin_as_fewer_do() -> None:
    few = plan_requests(replace(WORKLOAD, popularity=Popularity.DISTINCT), MODELS)
    many = plan_requests(replace(WORKLOAD, popularity=Popularity.DISTINCT, num_requests=300), MODELS)
    assert many[:200] == few


def test_a_trace_begins_at_once_and_names_models_or_lets_them_be_chosen() -> None:
    rows = [
        TraceRow(timestamp=5000 + at, input_length=7, output_length=at + 1, model=model)
        for at, model in ((0, None), (250, "named"), (4000, None))
    ]
    planned = plan_requests(replace(WORKLOAD, popularity=Popularity.IDENTICAL), MODELS, rows)
    assert [(one.at, one.model, one.input_len, one.output_len) for one in planned] == [
        (0.0, "tenant-0", 7, 1),
        (0.25, "named", 7, 251),
        (4.0, "tenant-0", 7, 4001),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_requests": 0},
        {"alpha": 0.0},
        {"alpha": float("nan")},
        {"time_unit": 0.0},
        {"output_len": LengthRange(0, 3)},
    ],
)
def test_what_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace(WORKLOAD, **wrong)  # type: ignore[arg-type]
