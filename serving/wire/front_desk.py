"""What the engine's process does for one front: takes its requests, cancels them, keeps what is new for it."""

import logging
from collections import deque
from collections.abc import Callable

from ..engine.engine import Engine
from ..grammars.grammar_shelf import GrammarShelf
from ..memory.adapter_store import UnknownAdapter
from ..requests.request import Finish, Request, TokenMatcher
from ..requests.sequence import Sequence
from .adapter_loads import AdapterLoads
from .messages import Abort, Add, Load, Loaded, Out, SendGrammar
from .outbox import Outbox

_LOG = logging.getLogger(__name__)
SLOW = "the server's front read too slowly, and this was the oldest request of which something waited"


class FrontDesk:
    """The requests of one front in the engine."""

    def __init__(self, engine: Engine, loads: AdapterLoads, max_waiting_tokens: int, tokens: str = "") -> None:
        self.outbox = Outbox(max_waiting_tokens)
        # What it is to be told of adapters, before it is told of steps.
        self.loaded: deque[Loaded] = deque()
        self._engine = engine
        self._loads = loads
        self._grammars = GrammarShelf(tokens)
        # The sequences of each request; none while its adapter is being read.
        self._running: dict[int, list[int]] = {}
        self._num_left: dict[int, int] = {}

    def add(self, add: Add) -> None:
        """Take a request in, once its adapter is there."""
        self._running[add.id], self._num_left[add.id] = [], add.params.n
        try:
            # Now, while the front knows what is on the shelf.
            grammar = None if add.grammar is None else self._grammars.matcher(add.grammar)
        except ValueError as missing:
            self._refuse(add, str(missing))
            return
        if add.digest is None:
            self._submit(add, grammar)
        else:
            assert add.folder is not None, "an adapter comes with its folder"
            self._loads.want(
                add.digest,
                add.folder,
                lambda error: self._submit(add, grammar, error),
                is_kept=not add.is_retired,
            )

    def keep(self, grammar: SendGrammar) -> None:
        """Keep a grammar; a request that names one that could not be kept is refused."""
        try:
            self._grammars.put(grammar.key, grammar.compiled)
        except ValueError:
            _LOG.exception("a grammar cannot be used")

    def load(self, load: Load) -> None:
        """Let an adapter be read, and say when it is."""
        self._loads.want(load.digest, load.folder, lambda error: self.loaded.append(Loaded(load.digest, error)))

    def abort(self, abort: Abort) -> None:
        """Cancel a request; nothing more is said of it."""
        self._cancel(abort.id)
        self.outbox.drop(abort.id)

    def leave(self) -> None:
        """Cancel everything."""
        for request in [*self._running]:
            self._cancel(request)
        self.outbox.clear()

    def relieve(self) -> None:
        """Give up the oldest requests while too much waits, each with an error that says so."""
        while self.outbox.is_full and (request := self.outbox.oldest()) is not None:
            _LOG.warning("request %d is cancelled: %s", request, SLOW)
            self._cancel(request)
            self.outbox.drop(request)
            self.outbox.put(Out(request, 0, finish=Finish.ERROR, error=SLOW))

    def _cancel(self, request: int) -> None:
        self._num_left.pop(request, None)
        for sequence in self._running.pop(request, []):
            self._engine.cancel(sequence)

    def _submit(self, add: Add, grammar: Callable[[], TokenMatcher] | None, error: str = "") -> None:
        if add.id not in self._running:
            return
        if error:
            self._refuse(add, f"adapter, {error}")
            return
        request = Request(
            prompt=add.tokens,
            params=add.params,
            adapter=add.digest,
            tenant=add.tenant,
            deadline=add.deadline,
            grammar=grammar,
        )
        try:
            self._running[add.id] = self._engine.submit(request, OutListener(add.id, self._put))
        except UnknownAdapter:
            self._refuse(add, "adapter, it was taken away")
        except ValueError as refusal:
            self._refuse(add, str(refusal))

    def _refuse(self, add: Add, error: str) -> None:
        for candidate in range(add.params.n):
            self._put(Out(add.id, candidate, finish=Finish.ERROR, error=error, refused=True))

    def _put(self, out: Out) -> None:
        # Of what is cancelled nothing is said.
        if out.id not in self._running:
            return
        self.outbox.put(out)
        if out.finish is not None:
            self._num_left[out.id] -= 1
            if not self._num_left[out.id]:
                del self._running[out.id], self._num_left[out.id]


class OutListener:
    """Hears of the sequences of one request, and puts what is new of them somewhere."""

    def __init__(self, request: int, put: Callable[[Out], None]) -> None:
        self._request = request
        self._put = put
        self._num_heard: dict[int, int] = {}

    def __call__(self, sequence: Sequence) -> None:
        first = self._num_heard.get(sequence.candidate, 0)
        self._num_heard[sequence.candidate] = sequence.num_produced
        has_ended = sequence.finish is not None
        wants_prompt = has_ended and sequence.request.params.prompt_logprobs
        out = Out(
            self._request,
            sequence.candidate,
            tuple(sequence.tokens[sequence.num_prompt + first :]),
            tuple(sequence.logprobs[first:]),
            sequence.finish,
            error=sequence.error if sequence.finish is Finish.ERROR else "",
            refused=sequence.is_refused,
            stopped=sequence.stopped_text,
            num_cached=sequence.num_cached if has_ended else 0,
            prompt_logprobs=tuple(sequence.prompt_logprobs) if wants_prompt else None,
        )
        self._put(out)
