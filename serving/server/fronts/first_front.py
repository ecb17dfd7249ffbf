"""The first of several fronts: what it does for the others, and tells them."""

import asyncio
import logging
from collections.abc import Mapping

from ...adapters.adapter_error import AdapterError, Refusal
from ...wire.engine_host import EngineHost
from ..api.adapter_desk import AdapterDesk
from ..front import Front, Resolve
from .figures import Family, families_of, page_of
from .front_group import FrontGroup
from .messages import Answer, Ask, Start, Verb

_LOG = logging.getLogger(__name__)


class FirstFront:
    """Has the engine, the adapters' database and the other fronts, which ask it for what they cannot do themselves.

    listener  the file descriptor of the socket that all accept on
    tokens, named  the file that grammars are compiled for, and those that have names
    """

    def __init__(
        self,
        front: Front,
        engine: EngineHost,
        desk: AdapterDesk,
        resolve: Resolve | None,
        *,
        listener: int,
        tokens: str,
        named: Mapping[str, str],
    ) -> None:
        self._front = front
        self._engine = engine
        self._desk = desk
        self._resolve = resolve
        self._listener = listener
        self._tokens = tokens
        self._named = dict(named)
        self.group = FrontGroup(front.settings.num_fronts - 1, listener, self.start_of, self.answer)

    def start_of(self, number: int) -> Start:
        """Return what another front is told first: how things are now."""
        return Start(
            number=number,
            listener=self._listener,
            settings=self._front.settings,
            started_at=self._front.started_at,
            endpoint=self._engine.endpoint,
            tokens=self._tokens,
            named=self._named,
            resolves=self._resolve is not None,
            records=self._front.catalogue.all(),
        )

    async def page(self) -> bytes:
        """Return the figures of all fronts, and the engine's, in Prometheus' text format."""
        metrics = self._front.metrics
        own = await asyncio.to_thread(families_of, metrics.registry, 0)
        fronts = [self._counts(), own, *await self.group.figures()]
        # In threads: it takes some milliseconds a front.
        return await asyncio.to_thread(lambda: page_of(fronts) + metrics.engine_page())

    async def answer(self, asked: Ask) -> Answer:
        """Return what comes of something that another front asks for."""
        try:
            return await self._answer(asked)
        except AdapterError as error:
            return Answer(asked.number, refusal=error.refusal, message=str(error))
        except Exception:
            _LOG.exception("another front could not be answered")
            return Answer(asked.number, refusal=Refusal.UNAVAILABLE, message="it could not be done; the log says why")

    async def _answer(self, asked: Ask) -> Answer:
        number, name = asked.number, asked.name
        match asked.verb:
            case Verb.ADD | Verb.REPLACE:
                await self._desk.add(name, asked.path, replace=asked.verb is Verb.REPLACE)
            case Verb.REMOVE:
                await self._desk.remove(name)
            case Verb.LIST:
                return Answer(number, await self._desk.listed())
            case Verb.TELL:
                return Answer(number, await self._desk.told(name))
            case Verb.RESOLVE:
                return Answer(number, record=await self._resolve(name) if self._resolve else None)
            case Verb.FIGURES:
                return Answer(number, await self.page())
        return Answer(number)

    def _counts(self) -> list[Family]:
        serving, again = "verilora_fronts", "verilora_front_restarts"
        num_restarts = float(self.group.num_restarts)
        return [
            Family(serving, "Fronts that accept.", "gauge", [(serving, {}, 1.0 + self.group.num_serving)]),
            Family(again, "Times that one was started again.", "counter", [(f"{again}_total", {}, num_restarts)]),
        ]
