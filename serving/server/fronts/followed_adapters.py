"""The adapters as other fronts know them than the first: told of each change, and changed by asking the first."""

import asyncio
from collections.abc import Callable, Iterable
from itertools import count

from ...adapters.adapter_error import AdapterError, Refusal
from ...adapters.adapter_record import AdapterRecord
from .messages import Answer, Ask, Changed, Verb


class FollowedAdapters:
    """A catalogue that follows the first front's, and a desk that passes on what is asked of it.

    send   brings something to the first front
    let_go hears of a content that no name stands for any more
    """

    def __init__(
        self, records: Iterable[AdapterRecord], send: Callable[[Ask], None], let_go: Callable[[str], None]
    ) -> None:
        self._active = {record.name: record for record in records}
        self._send = send
        self._let_go = let_go
        self._numbers = count()
        self._asked: dict[int, asyncio.Future[Answer]] = {}

    def find(self, name: str) -> AdapterRecord | None:
        """Return the active version of an adapter, None if there is none."""
        return self._active.get(name)

    def all(self) -> list[AdapterRecord]:
        """Return the active version of each adapter, by name."""
        return [record for _, record in sorted(self._active.items())]

    def change(self, changed: Changed) -> None:
        """Let a name stand for what it stands for in the first front."""
        old = self._active.pop(changed.name, None)
        if changed.record is not None:
            self._active[changed.name] = changed.record
        if old is not None and all(record.digest != old.digest for record in self._active.values()):
            # Said here, too: behind the requests that this front has sent with it.
            self._let_go(old.digest)

    def hear(self, answer: Answer) -> None:
        """Take an answer of the first front."""
        asked = self._asked.get(answer.number)
        if asked is not None and not asked.done():
            asked.set_result(answer)

    async def add(self, name: str, path: str, *, replace: bool = False) -> None:
        """Let a name stand for what lies at a path; raises AdapterError."""
        await self.ask(Verb.REPLACE if replace else Verb.ADD, name, path)

    async def remove(self, name: str) -> None:
        """Let a name stand for nothing; raises AdapterError."""
        await self.ask(Verb.REMOVE, name)

    async def listed(self) -> bytes:
        """Return all that is known, as JSON; raises AdapterError."""
        return (await self.ask(Verb.LIST)).content

    async def told(self, name: str) -> bytes:
        """Return what is known of one adapter, as JSON; raises AdapterError."""
        return (await self.ask(Verb.TELL, name)).content

    async def resolve(self, name: str) -> AdapterRecord | None:
        """Return the adapter of a name that is not known here, None if there is none."""
        return (await self.ask(Verb.RESOLVE, name)).record

    async def figures(self) -> bytes:
        """Return the figures of all fronts."""
        return (await self.ask(Verb.FIGURES)).content

    async def ask(self, verb: Verb, name: str = "", path: str = "") -> Answer:
        """Return what the first front answers; raises AdapterError for what it refuses.

        Who asks may go away: it is done to its end.
        """
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(Ask(number, verb, name, path))
            answer = await self._asked[number]
        except UnicodeEncodeError:
            # Half of a surrogate pair is no name of anything, and cannot be sent.
            raise AdapterError(Refusal.ABSENT, "there is no adapter of this name") from None
        finally:
            del self._asked[number]
        if answer.refusal is not None:
            raise AdapterError(answer.refusal, answer.message)
        return answer
