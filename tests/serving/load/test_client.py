import asyncio
import time
from collections.abc import Sequence

import pytest

from verilora.serving.load.attempt import Attempt, Failed
from verilora.serving.load.choices import Route
from verilora.serving.load.client import LoadClient
from verilora.serving.load.target import Target
from verilora.serving.load.workload.plan import PlannedRequest

from stream_server import StreamServer, stream_server


def planned(model: str, output_len: int = 4) -> PlannedRequest:
    return PlannedRequest(number=0, at=0.0, model=model, prompt=(5, 6), input_len=2, output_len=output_len)


def send(target: Target, models: Sequence[str]) -> list[Attempt]:
    """Send a request to each model at once, and return what was measured."""

    async def send_all() -> list[Attempt]:
        attempts = [Attempt(planned=planned(model), due=time.perf_counter()) for model in models]
        async with LoadClient.of(target) as client, asyncio.TaskGroup() as group:
            for attempt in attempts:
                group.create_task(client.send(attempt, target.body(attempt.planned)))
        return attempts

    return asyncio.run(send_all())


def send_one(server: StreamServer, model: str, route: Route = Route.COMPLETIONS, timeout: float = 30.0) -> Attempt:
    (attempt,) = send(Target(url=server.url, route=route, timeout=timeout), [model])
    return attempt


@pytest.mark.parametrize("route", Route)
def test_times_are_those_at_which_tokens_came(route: Route) -> None:
    with stream_server(pause=0.002) as server:
        attempt = send_one(server, "a", route)
        (answered,) = server.answered
    assert attempt.has_succeeded
    assert attempt.failure is None
    assert (attempt.num_input_tokens, attempt.num_output_tokens) == (77, 4)
    assert attempt.sent is not None
    # Both clocks are one, and a token comes after it was written and, here, before the next one is.
    assert len(attempt.token_times) == 4
    moments = [attempt.due, attempt.sent, answered.written[0]]
    assert moments == sorted(moments)
    assert all(came >= wrote for came, wrote in zip(attempt.token_times, answered.written, strict=True))
    assert attempt.token_times == sorted(attempt.token_times)
    assert attempt.ttft is not None
    assert attempt.e2e is not None
    assert attempt.tpot is not None
    assert attempt.ttft >= answered.written[0] - attempt.sent
    assert sum(attempt.itls) == pytest.approx(attempt.e2e - attempt.ttft)
    assert attempt.tpot == pytest.approx(sum(attempt.itls) / 3)


def test_the_role_with_which_a_chat_begins_is_no_token() -> None:
    with stream_server() as server:
        assert len(send_one(server, "a", Route.CHAT).token_times) == 4


def test_tokens_are_counted_where_no_usage_is_told() -> None:
    with stream_server() as server:
        attempt = send_one(server, "tells-no-usage")
    assert attempt.completion_tokens is None
    assert (attempt.num_input_tokens, attempt.num_output_tokens) == (2, 4)


def test_events_that_come_byte_by_byte() -> None:
    with stream_server() as server:
        attempt = send_one(server, "splits-events")
    assert (attempt.has_succeeded, len(attempt.token_times)) == (True, 2)


def test_a_token_without_text_counts_when_the_answer_ends() -> None:
    with stream_server() as server:
        attempt = send_one(server, "has-no-text")
    assert (attempt.has_succeeded, attempt.num_output_tokens, attempt.tpot) == (True, 1, None)
    assert attempt.ttft == attempt.e2e


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("answers-whole", "not understood"),
        ("cuts-off", "cut off"),
        ("ends-early", "cut off"),
        ("fails-midway", "error event"),
        ("garbage", "not understood"),
        ("is-empty", "empty"),
        ("nests-deeply", "not understood"),
        ("never-ends-an-event", "not understood"),
        ("no-http", "not understood"),
        ("other-json", "not understood"),
        ("redirects", "status 307"),
        ("status-429", "status 429"),
        ("status-500", "status 500"),
    ],
)
def test_each_failure_has_its_name(model: str, kind: str) -> None:
    with stream_server() as server:
        attempt = send_one(server, model)
    assert not attempt.has_succeeded
    assert attempt.failure
    assert attempt.failure.kind == kind, attempt.failure
    assert len(attempt.failure.message) <= 400
    assert len(server.answered) == 1


def test_what_takes_too_long_is_given_up() -> None:
    with stream_server() as server:
        attempt = send_one(server, "hangs", timeout=0.5)
    assert attempt.failure
    assert attempt.failure.kind == "timeout"
    assert len(attempt.token_times) == 2


def test_nobody_is_there() -> None:
    with stream_server() as server:
        pass
    attempt = send_one(server, "a")
    assert attempt.failure
    assert attempt.failure.kind == "connection"


def test_failures_of_some_leave_the_others_as_they_are() -> None:
    with stream_server(pause=0.001) as server:
        attempts = send(Target(url=server.url), ["a", "cuts-off", "status-500", "garbage"] * 16)
    good = [attempt for attempt in attempts if attempt.planned.model == "a"]
    assert [attempt.num_output_tokens for attempt in good] == [4] * 16
    assert [attempt.has_succeeded for attempt in attempts] == [True, False, False, False] * 16


def test_the_key_goes_with_each_request_and_is_never_shown() -> None:
    target = Target(url="http://127.0.0.1:1", key="sk-secret")
    assert "sk-secret" not in repr(target)
    with stream_server() as server:
        send(Target(url=server.url, key="sk-secret"), ["a"])
    assert server.answered[0].headers["authorization"] == "Bearer sk-secret"


def test_names_of_models() -> None:
    async def ask(url: str) -> list[str]:
        async with LoadClient.of(Target(url=url)) as client:
            return await client.model_names()

    with stream_server("base", "tenant-0") as server:
        assert asyncio.run(ask(server.url)) == ["base", "tenant-0"]
        assert asyncio.run(ask(f"{server.url}/v1/")) == ["base", "tenant-0"]
    with pytest.raises(Failed, match="connection"):
        asyncio.run(ask(server.url))
