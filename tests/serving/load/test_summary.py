import json
from dataclasses import asdict

import pytest

from verilora.serving.load.attempt import Attempt, Failed
from verilora.serving.load.load_report import LoadOptions, LoadReport
from verilora.serving.load.load_run import LoadRun
from verilora.serving.load.objective import Objective
from verilora.serving.load.summary import summarize
from verilora.serving.load.workload.plan import PlannedRequest

OPTIONS = LoadOptions(
    url="http://h",
    models=(),
    num_models=None,
    route="completions",
    rate=2.0,
    cv=1.0,
    concurrency=None,
    popularity="uniform",
    alpha=1.0,
    input_len="8",
    output_len="4",
    prompts="tokens",
    token_ids="10:250",
    trace=None,
    time_unit=0.001,
    num_warm_up=0,
    seed=0,
    ignore_eos=True,
    temperature=0.0,
    timeout=60.0,
)


def attempt(
    model: str, *times: float, due: float = 0.0, sent: float = 0.0, failure: Failed | None = None, ended: bool = True
) -> Attempt:
    planned = PlannedRequest(number=0, at=due, model=model, prompt="x", input_len=8, output_len=4)
    succeeded = ended and failure is None
    return Attempt(planned=planned, due=due, sent=sent, token_times=[*times], has_succeeded=succeeded, failure=failure)


ATTEMPTS = [
    attempt("a", 1.0, 1.5, 2.0, 2.5),
    attempt("a", 2.0, 2.5, 3.0, 3.5, due=0.0, sent=0.002),
    attempt("b", 1.0, 1.1, 1.2),
    attempt("c", 5.0, failure=Failed("cut off", "gone")),
    attempt("c", failure=Failed("status 429", "later")),
    attempt("c", failure=Failed("status 429", "later still")),
    attempt("d", 3.0, ended=False),
]


def report(objective: Objective | None = None, num_busiest: int = 10, max_late: float = 10.0) -> LoadReport:
    run = LoadRun(
        attempts=ATTEMPTS,
        lags=[0.0] * 99 + [1.0],
        start=-1.0,
        seconds=10.0,
        cpu_seconds=2.0,
        num_planned=9,
        was_stopped=True,
    )
    return summarize(
        run,
        OPTIONS,
        version="0",
        started_at="2026-01-01",
        objective=objective,
        num_busiest=num_busiest,
        max_late=max_late,
    )


def test_counts() -> None:
    found = report()
    assert (found.num_planned, found.num_sent) == (9, 7)
    assert (found.num_succeeded, found.num_failed, found.num_interrupted) == (3, 3, 1)
    assert [(one.kind, one.count, one.example) for one in found.failures] == [
        ("status 429", 2, "later"),
        ("cut off", 1, "gone"),
    ]


def test_times_and_throughput_are_of_what_succeeded() -> None:
    found = report()
    times = found.latencies
    assert times.ttft
    assert times.itl
    assert times.tpot
    assert times.e2e
    assert times.ttft.max == pytest.approx(1998)
    assert times.itl.mean == pytest.approx((6 * 500 + 2 * 100) / 8)
    assert times.tpot.p50 == pytest.approx(500)
    assert times.e2e.max == pytest.approx(3498)
    assert found.requests_per_second == pytest.approx(0.3)
    assert found.output_tokens_per_second == pytest.approx(1.1)
    assert found.total_tokens_per_second == pytest.approx(1.1 + 2.4)


def test_models_the_busiest_first_and_the_rest_together() -> None:
    found = report(num_busiest=2)
    assert [(one.name, one.num_requests, one.num_failed, one.num_tokens_served) for one in found.busiest] == [
        ("c", 3, 3, 1),
        ("a", 2, 0, 8),
    ]
    assert found.rest
    assert (found.rest.num_models, found.rest.num_requests, found.rest.num_tokens_asked) == (2, 2, 8)
    assert report(num_busiest=4).rest is None
    everything = (*found.busiest, found.rest)
    assert sum(one.num_requests for one in everything) == found.num_sent


def test_fairness_leaves_out_what_was_interrupted() -> None:
    shares = [8 / 8, 3 / 4, 1 / 12]
    assert report().jains_index == pytest.approx(sum(shares) ** 2 / (3 * sum(share**2 for share in shares)))


def test_goodput_counts_failures_as_missed_and_not_what_was_interrupted() -> None:
    goodput = report(Objective(ttft=1500)).goodput
    assert goodput
    assert (goodput.share, goodput.requests_per_second) == (pytest.approx(2 / 6), pytest.approx(0.2))
    assert report().goodput is None


def test_a_client_that_is_late_is_told() -> None:
    client = report(max_late=1.0).client
    assert client.late
    assert client.late.max == pytest.approx(2.0)
    assert client.warning
    assert "requests left it" in client.warning
    assert "it read 1 in 100 times more than 10.0 ms late" in client.warning
    assert report(max_late=10.1).client.warning is None
    assert client.cpu_share == pytest.approx(0.2)
    assert client.cpu_microseconds_per_token == pytest.approx(2e6 / 13)


def test_nothing_was_answered() -> None:
    run = LoadRun(attempts=[], lags=[], start=0.0, seconds=0.1, cpu_seconds=0.0, num_planned=9, was_stopped=True)
    found = summarize(run, OPTIONS, version="0", started_at="", objective=Objective(ttft=1))
    assert (found.num_sent, found.jains_index, found.busiest, found.client.late) == (0, None, [], None)
    json.dumps(asdict(found), allow_nan=False)


def test_a_report_is_json() -> None:
    content = json.loads(json.dumps(asdict(report(Objective(tpot=5))), allow_nan=False))
    assert content["options"] == {**asdict(OPTIONS), "models": []}
    rows = content["requests"]
    assert [row["failure"] for row in rows] == [None, None, None, "cut off", "status 429", "status 429", None]
    assert [row["was_interrupted"] for row in rows] == [False] * 6 + [True]
    assert (rows[1]["late"], rows[1]["sent"]) == (pytest.approx(2.0), pytest.approx(1.002))
