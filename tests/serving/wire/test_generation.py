"""What a request hears of the engine, and what it cancels."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from verilora.serving.requests.request import Finish
from verilora.serving.wire import generation
from verilora.serving.wire.generation import EngineLost, Generation, GenerationError
from verilora.serving.wire.messages import Out


class Watched:
    """A generation of two prompts with two candidates each, and what it has told the engine."""

    def __init__(self) -> None:
        self.aborted: list[int] = []
        self.forgotten: list[int] = []
        self.generation = Generation(7, 2, 2, self.aborted.append, self.forgotten.append)


def run(work: Callable[[Watched], Awaitable[None]]) -> Watched:
    async def both() -> Watched:
        watched = Watched()
        with watched.generation:
            await work(watched)
        return watched

    return asyncio.run(both())


async def heard(watched: Watched) -> list[tuple[int, Out]]:
    return [one async for one in watched.generation.outs()]


def test_all_is_heard_and_nothing_cancelled_when_all_end() -> None:
    outs = [Out(request, candidate, (1,), finish=Finish.STOP) for request in (7, 8) for candidate in (0, 1)]

    async def work(watched: Watched) -> None:
        for out in outs:
            watched.generation.hear(out)
        assert await heard(watched) == [(0, outs[0]), (0, outs[1]), (1, outs[2]), (1, outs[3])]

    watched = run(work)
    assert (watched.aborted, watched.forgotten) == ([], [7, 8])


def test_what_has_not_ended_is_cancelled_by_whoever_leaves() -> None:
    async def work(watched: Watched) -> None:
        watched.generation.hear(Out(7, 0, finish=Finish.STOP))
        watched.generation.hear(Out(7, 1, finish=Finish.LENGTH))
        watched.generation.hear(Out(8, 0, (1,)))
        outs = watched.generation.outs()
        for _ in range(3):
            await anext(outs)

    watched = run(work)
    assert (watched.aborted, watched.forgotten) == ([8], [7, 8])


@pytest.mark.parametrize(
    ("out", "is_refused"),
    [
        (Out(7, 0, finish=Finish.ERROR, error="prompt, no", refused=True), True),
        (Out(7, 0, finish=Finish.ERROR, error="logits"), False),
        (Out(7, 0, finish=Finish.DEADLINE), False),
    ],
)
def test_what_fails_is_raised_and_the_rest_cancelled(out: Out, is_refused: bool) -> None:
    async def work(watched: Watched) -> None:
        watched.generation.hear(out)
        with pytest.raises(GenerationError) as failed:
            await heard(watched)
        assert (failed.value.is_refused, failed.value.finish, str(failed.value)) == (is_refused, out.finish, out.error)

    assert run(work).aborted == [7, 8]


def test_an_engine_that_is_gone_is_raised() -> None:
    async def work(watched: Watched) -> None:
        watched.generation.fail(EngineLost("gone"))
        with pytest.raises(EngineLost):
            await heard(watched)

    run(work)


def test_what_is_read_too_slowly_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "MAX_UNREAD_TOKENS", 10)

    async def work(watched: Watched) -> None:
        for _ in range(4):
            watched.generation.hear(Out(7, 0, (1, 2, 3)))
        assert watched.aborted == [7, 8]
        with pytest.raises(GenerationError, match="read too slowly"):
            await heard(watched)

    run(work)
