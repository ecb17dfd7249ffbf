"""A front that follows another has its adapters, and passes on what is asked of it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from verilora.serving.adapters.adapter_error import AdapterError, Refusal
from verilora.serving.adapters.adapter_record import AdapterRecord, AdapterState
from verilora.serving.server.fronts.followed_adapters import FollowedAdapters
from verilora.serving.server.fronts.messages import Answer, Ask, Changed, Verb


def record(name: str, digest: str) -> AdapterRecord:
    return AdapterRecord(
        name=name,
        version=1,
        digest=digest,
        rank=4,
        num_bytes=1,
        state=AdapterState.ACTIVE,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
        folder=Path(digest),
    )


def answered(answer: Callable[[Ask], Answer]) -> FollowedAdapters:
    """Return adapters that follow none, and are answered at once."""
    adapters = FollowedAdapters([], lambda asked: adapters.hear(answer(asked)), lambda _: None)
    return adapters


def test_a_content_is_let_go_of_with_its_last_name() -> None:
    gone: list[str] = []
    adapters = FollowedAdapters([record("b", "x"), record("a", "x")], lambda _: None, gone.append)
    assert [one.name for one in adapters.all()] == ["a", "b"]
    adapters.change(Changed(0, "a", record("a", "y")))
    assert (gone, adapters.find("a")) == ([], record("a", "y"))
    adapters.change(Changed(1, "b", None))
    assert (gone, adapters.find("b")) == (["x"], None)
    # Again the same, and what was never there.
    adapters.change(Changed(2, "a", record("a", "y")))
    adapters.change(Changed(3, "c", None))
    assert gone == ["x"]


def test_what_is_asked_is_passed_on_and_answers_come_back() -> None:
    asked: list[tuple[Verb, str, str]] = []

    def answer(ask: Ask) -> Answer:
        asked.append((ask.verb, ask.name, ask.path))
        return Answer(ask.number, b"{}", record("c", "z") if ask.verb is Verb.RESOLVE else None)

    async def work() -> None:
        adapters = answered(answer)
        await adapters.add("a", "path")
        await adapters.add("a", "path", replace=True)
        await adapters.remove("a")
        assert (await adapters.listed(), await adapters.told("a"), await adapters.figures()) == (b"{}",) * 3
        assert await adapters.resolve("c") == record("c", "z")

    asyncio.run(work())
    verbs = [verb for verb, _, _ in asked]
    assert verbs == [Verb.ADD, Verb.REPLACE, Verb.REMOVE, Verb.LIST, Verb.TELL, Verb.FIGURES, Verb.RESOLVE]
    assert asked[0] == (Verb.ADD, "a", "path")


def test_what_the_first_refuses_is_refused() -> None:
    adapters = answered(lambda ask: Answer(ask.number, refusal=Refusal.PRESENT, message="it is there"))
    with pytest.raises(AdapterError, match="it is there") as refused:
        asyncio.run(adapters.add("a", "path"))
    assert refused.value.refusal is Refusal.PRESENT


def test_who_goes_away_before_the_answer_is_not_missed() -> None:
    asked: list[Ask] = []

    async def work() -> None:
        adapters = FollowedAdapters([], asked.append, lambda _: None)
        waiting = asyncio.create_task(adapters.remove("a"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        adapters.hear(Answer(asked[0].number))

    asyncio.run(work())
