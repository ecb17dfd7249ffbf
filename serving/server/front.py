"""What the routes share: settings, the engine, the adapters, and how a request gets to the engine."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from ...specs.files.errors import InputError
from ..adapters.adapter_record import AdapterRecord
from ..adapters.catalogue import Catalogue
from ..grammars.grammar import Grammar
from ..grammars.grammar_compiler import GrammarCompiler, GrammarRefused
from ..requests.sampling_params import SamplingParams
from ..wire.engine_host import EngineHost, EngineState
from ..wire.engine_link import EngineLink
from ..wire.generation import Generation
from ..wire.messages import ModelCard
from ..workers.job import JobFailed
from .api.api_error import ApiError, refused, unavailable
from .api.bodies import SamplingBody
from .api.grammar_of import grammar_of
from .metrics import Metrics
from .settings import ServerSettings
from .text.text_model import TextModel

Resolve = Callable[[str], Awaitable[AdapterRecord | None]]
"""Finds an adapter that is not known yet."""

Compiled = tuple[str, bytes]
"""The key of a grammar, and what was compiled of it."""


@dataclass(frozen=True, slots=True)
class Grammars:
    """What compiles grammars, and those that have names."""

    compiler: GrammarCompiler
    named: Mapping[str, Grammar]


class FrontEngine(Protocol):
    """The engine as a front uses it: `link` is None while there is none to ask."""

    @property
    def state(self) -> EngineState:
        """Whether there is one."""

    @property
    def link(self) -> EngineLink | None:
        """The connection to it."""

    @property
    def card(self) -> ModelCard | None:
        """What it has told of its model."""


class Front:
    """The server as its routes know it."""

    def __init__(
        self,
        settings: ServerSettings,
        engine: FrontEngine,
        catalogue: Catalogue,
        resolve: Resolve | None = None,
        grammars: Grammars | None = None,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.catalogue = catalogue
        self.metrics = Metrics(engine if isinstance(engine, EngineHost) else None)
        self.figures: Callable[[], Awaitable[bytes]] = self._own_figures
        self.started_at = int(time.time())
        self.has_begun = self.is_draining = False
        self._running: set[Generation] = set()
        self._text: TextModel | None = None
        self._resolve = resolve
        self._grammars = grammars

    async def begin(self) -> None:
        """Take requests from now on: the engine is ready, and what is named at the start is loaded.

        Raises InputError for settings that the model cannot have.
        """
        card = self.engine.card
        assert card is not None, "an engine that is ready has told its card"
        asked = self.settings.max_model_len or 0
        if asked > card.context_len:
            message = f"got {asked}, expected at most the model's own {card.context_len}"
            raise InputError("--max-model-len", message)
        # Large vocabularies take half a second.
        self._text = await asyncio.to_thread(TextModel, card)
        self.has_begun = True

    @property
    def is_ready(self) -> bool:
        """Whether a request would be taken now."""
        return self.engine.state is EngineState.READY and self.has_begun and not self.is_draining

    @property
    def num_running(self) -> int:
        """How many requests are being answered."""
        return len(self._running)

    @property
    def text(self) -> TextModel:
        """The model's tokenizer and template; raises ApiError while the engine has never been ready."""
        if self._text is None:
            raise unavailable("the model is being loaded", "engine_unavailable")
        return self._text

    @property
    def max_model_len(self) -> int:
        """How many tokens a prompt and its answer may have."""
        context_len = self.text.card.context_len
        return min(context_len, self.settings.max_model_len or context_len)

    async def adapter(self, model: str) -> AdapterRecord | None:
        """Return the adapter that a model's name stands for, None for the base; raises ApiError for others."""
        if model == self.settings.served_name:
            return None
        record = self.catalogue.find(model)
        if record is None and self._resolve is not None:
            record = await self._resolve(model)
        if record is None:
            raise ApiError(404, f"there is no model {model!r}", param="model", code="model_not_found")
        return record

    async def grammar(self, body: SamplingBody) -> Compiled | None:
        """Return the grammar that a body asks for, compiled; raises ApiError for one that cannot be."""
        asked = grammar_of(body, self._grammars.named if self._grammars else {})
        if asked is None:
            return None
        field, grammar = asked
        if self._grammars is None:
            raise refused(f"{field} is not supported by this server", field, "unsupported_parameter")
        try:
            return grammar.key, await self._grammars.compiler.compile(grammar)
        except GrammarRefused as error:
            raise refused(f"{field}, {error}", field) from None
        except JobFailed:
            raise unavailable("grammars cannot be compiled now", "grammar_unavailable") from None

    def room(self, prompt: Sequence[int], wanted: int | None, field: str) -> int:
        """Return how many tokens may follow a prompt, at most those that are wanted; raises ApiError for none."""
        room = self.max_model_len - len(prompt)
        if not prompt:
            raise refused(f"{field}, got no tokens, expected at least one", field)
        if room < 1:
            raise refused(
                f"{field}, got {len(prompt)} tokens, expected fewer than {self.max_model_len}",
                field,
                "context_length_exceeded",
            )
        return room if wanted is None else min(wanted, room)

    def check_candidates(self, num_prompts: int, n: int) -> None:
        """Raise ApiError for more answers than one request may have."""
        limits = self.settings
        if num_prompts > limits.max_prompts:
            raise refused(f"prompt, got {num_prompts}, expected at most {limits.max_prompts}", "prompt")
        if num_prompts * n > limits.max_candidates:
            raise refused(f"n, got {num_prompts * n} answers in all, expected at most {limits.max_candidates}", "n")

    @contextmanager
    def generate(
        self,
        adapter: AdapterRecord | None,
        prompts: Sequence[tuple[int, ...]],
        params: Sequence[SamplingParams],
        grammar: Compiled | None = None,
    ) -> Iterator[Generation]:
        """Return what comes of some prompts in the engine; what has not ended is cancelled behind it.

        Raises ApiError while the server cannot take a request.
        """
        link = self.engine.link
        if self.is_draining:
            raise unavailable("the server is about to end", "draining")
        if link is None or not self.has_begun:
            raise unavailable("the engine is not ready", "engine_unavailable")
        if self.num_running >= self.settings.max_requests:
            raise ApiError(
                429,
                f"{self.num_running} requests are being answered, expected fewer",
                code="too_many_requests",
                headers={"Retry-After": "1"},
            )
        with link.generate(
            prompts,
            params,
            digest=adapter.digest if adapter else None,
            folder=str(adapter.folder) if adapter else None,
            is_retired=adapter is not None and not self._is_active(adapter),
            deadline=self.settings.queue_seconds,
            grammar=grammar,
        ) as generation:
            self._running.add(generation)
            try:
                yield generation
            finally:
                self._running.remove(generation)

    async def _own_figures(self) -> bytes:
        # In a thread: with many adapters it takes some milliseconds.
        return await asyncio.to_thread(self.metrics.page)

    def _is_active(self, adapter: AdapterRecord) -> bool:
        """Return whether a name still stands for a version: another may have come since the request found it."""
        found = self.catalogue.find(adapter.name)
        return found is not None and found.digest == adapter.digest

    def give_up(self) -> None:
        """End what runs with an error that says that the server ends."""
        for generation in self._running:
            generation.fail(unavailable("the server has ended before the answer", "draining"))
