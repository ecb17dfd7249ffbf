"""The engine: continuations of prompts by one base model with any of its adapters, from one pool of memory."""

import hashlib
import logging
import time
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch

from ..memory.adapter_weights import AdapterWeights
from ..memory.pool import Owner
from ..memory.prefix_cache import parts_of
from ..models.decoder import Decoder
from ..requests.request import Finish, Output, Request, TokenMatcher
from ..requests.request_checks import check_request
from ..requests.sequence import Sequence
from ..schedule.plan import Plan
from ..schedule.scheduler import Scheduler
from ..schedule.settings import EngineSettings
from ..steps.states import InFlight, States
from .adapter_reader import AdapterReader
from .draw import Draw, Drawn, top_logprobs
from .engine_memory import engine_memory
from .sampler import Sampler
from .stopping import Detokenize, Stopping, TextError
from .streams import Delta, Stepper, stream
from .turns import Turns

Listener = Callable[[Sequence], None]
"""Hears of a sequence after each token, and when it has ended. If it fails, its sequence ends with that error.

An interrupt while it is told of an end lets it be told once more.
"""
_LOG = logging.getLogger(__name__)
# How much the newest step counts in the expected time of one.
NEWEST_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What an engine has and did. Pages: free + kv + adapter + prefix are all there are."""

    pages_free: int
    pages_kv: int
    pages_adapter: int
    pages_prefix: int
    num_running: int
    num_waiting: int
    num_steps: int
    num_preemptions: int
    prompt_tokens: int
    prompt_tokens_cached: int
    output_tokens: int
    adapter_reads: int
    adapter_loads: int


class Engine:
    """One base model on one device. There may be several in a process, and calls may come from several threads.

    decoder     the base model
    end_ids     the tokens that end an answer of the model
    detokenize  turns tokens into text; needed for stop strings only, and asked about a few of the newest tokens
    is_paged    whether memory is one pool of pages, which is so on a GPU; on a CPU kernels' references then compute
    """

    def __init__(
        self,
        decoder: Decoder,
        settings: EngineSettings | None = None,
        *,
        end_ids: Iterable[int] = (),
        detokenize: Detokenize | None = None,
        is_paged: bool | None = None,
    ) -> None:
        self.settings = settings or EngineSettings()
        self.architecture = decoder.architecture
        if self.settings.is_deterministic:
            decoder = Decoder(decoder.architecture, decoder.weights.invariant())
        self._decoder = decoder
        is_paged = decoder.weights.device.type == "cuda" if is_paged is None else is_paged
        self._memory = memory = engine_memory(decoder, self.settings, is_paged=is_paged)
        self.pool = memory.pool
        self._overlaps = is_paged and self.settings.overlaps_steps
        self._runner = memory.runner
        self._scheduler = Scheduler(
            self.settings,
            memory.pool,
            memory.adapters,
            memory.prefixes,
            blocks_for=self._runner.blocks_for,
            block_pages=memory.block_pages,
            block_bytes=memory.block_bytes,
            shares_pages=memory.runner.shares_pages,
        )
        self._sampler = Sampler(self.settings.max_rows, self.architecture.vocab_size, decoder.weights.device)
        if decoder.weights.device.type == "cuda":
            self._sampler.warm_up()
        self._stopping = Stopping(frozenset(end_ids), detokenize)
        self._has_text = detokenize is not None
        self._sequences: dict[int, Sequence] = {}
        self._listeners: dict[int, Listener] = {}
        self._matchers: dict[int, TokenMatcher] = {}
        # Those who have a token more or have ended, and whose listeners do not know yet.
        self._news: deque[Sequence] = deque()
        self._numbers = count()
        self._lock = Turns()
        self._reader = AdapterReader(memory.adapters, memory.runner, self._lock)
        self._stepper = Stepper(self.step)
        # What the step before drew, while its tokens are not known.
        self._draw: Draw | None = None
        self._step_time = 0.0
        self._num_steps = self._prompt_tokens = self._cached_tokens = self._output_tokens = 0

    def generate(self, requests: Many[Request]) -> list[list[Output]]:
        """Return the outputs of each request, in order, those of its candidates in theirs.

        Raises ValueError for a request that cannot be served, before any is begun.
        """
        found: dict[tuple[int, int], Output] = {
            (number, output.candidate): output for number, output in self.completed(requests)
        }
        return [
            [found[number, candidate] for candidate in range(request.params.n)]
            for number, request in enumerate(requests)
        ]

    def completed(self, requests: Many[Request]) -> Generator[tuple[int, Output], None, None]:
        """Yield outputs as they come to their end, each with the number of its request.

        What has not ended is cancelled when the caller leaves.
        """
        ready: deque[tuple[int, Output]] = deque()
        left: set[int] = set()

        def hears(number: int) -> Listener:
            def hear(sequence: Sequence) -> None:
                if sequence.finish is not None:
                    left.discard(sequence.id)
                    ready.append((number, sequence.output()))

            return hear

        try:
            with self._lock:
                for request in requests:
                    self._check(request)
                for number, request in enumerate(requests):
                    left.update(self.submit(request, hears(number)))
            while left or ready:
                if left and not ready:
                    self.step()
                # Another thread may compute steps, and outputs come at any moment.
                while ready:
                    yield ready.popleft()
        finally:
            with self._lock:
                for sequence_id in [*left]:
                    self.cancel(sequence_id)

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yield the tokens of a request as they are drawn, and its outputs; a thread of the engine's own computes.

        Who leaves early cancels the rest. Raises ValueError for a request that cannot be served.
        """
        return stream(self.submit, self.cancel, self._stepper.wake, request)

    def close(self) -> None:
        """Stop the threads that compute for streams and read adapters, if there are any."""
        self._stepper.close()
        self._reader.close()

    def submit(self, request: Request, listener: Listener) -> list[int]:
        """Let a request wait for its turn, and return the numbers of its sequences, one a candidate.

        Raises ValueError for a request that cannot be served, UnknownAdapter for an adapter that is not registered.
        """
        with self._lock:
            limit = self._check(request)
            version = None if request.adapter is None else self._memory.adapters.newest(request.adapter)
            tenant = "shared" if request.is_shared else f"tenant {request.tenant}"
            namespace = (tenant, "" if version is None else version.digest, "full")
            parts = parts_of(namespace, request.prompt)
            # First of all, since making one may fail.
            matchers = [request.grammar() for _ in range(request.params.n)] if request.grammar is not None else []
            numbers = []
            for candidate in range(request.params.n):
                sequence = Sequence(
                    id=next(self._numbers),
                    request=request,
                    candidate=candidate,
                    version=version,
                    arrival=time.monotonic(),
                    tokens=[*request.prompt],
                    parts=parts,
                    limit=limit,
                )
                if matchers:
                    self._matchers[sequence.id] = matchers[candidate]
                self._sequences[sequence.id] = sequence
                self._listeners[sequence.id] = listener
                self._scheduler.add(sequence)
                numbers.append(sequence.id)
            return numbers

    def cancel(self, sequence_id: int) -> bool:
        """End a sequence now; all that it holds is free at once. False if it had ended."""
        with self._lock:
            sequence = self._sequences.get(sequence_id)
            if sequence is None or sequence.finish is not None:
                return False
            self._scheduler.end(sequence, Finish.CANCELLED)
            self._tell(sequence)
            return True

    def step(self) -> bool:
        """Compute one step; False if there is nothing to do.

        An error in it ends the sequences that run with that error, and the engine goes on. An interrupt does the same
        and is raised. Listeners are called once it is done, and may call the engine.
        """
        with self._lock:
            if not self._sequences and not self._scheduler.has_to_let_go:
                self._draw = None
                return False
            has_computed = self._step()
            waits_for_adapters = not has_computed and self._memory.adapters.is_reading
        if waits_for_adapters:
            self._reader.wait()
        return True

    def _step(self) -> bool:
        """Return whether a step had something to compute."""
        started = time.monotonic()
        try:
            plan, ended = self._scheduler.plan(started, self._step_time)
            self._reader.begin()
            self._news += ended
            has_computed = not plan.is_empty or self._draw is not None
            self._run(plan)
            self._step_time += NEWEST_SHARE * (time.monotonic() - started - self._step_time)
            self._num_steps += 1
            self._tell_news()
            return has_computed
        except Exception as error:
            self._give_up(f"a step failed: {type(error).__name__}: {error}")
            return True
        except BaseException:
            self._give_up("the engine was interrupted")
            raise

    def add_adapter(self, name: str, source: Path | AdapterWeights) -> str:
        """Register an adapter, or another version of one, and return its digest.

        Requests that have arrived keep the version that they came for. Raises InputError for what cannot be served;
        then the name stands for what it stood for before.
        """
        # Read, named and packed outside the lock: running requests do not wait for it.
        folder = source if isinstance(source, Path) else None
        adapters = self._memory.adapters
        weights = source if isinstance(source, AdapterWeights) else adapters.read(source)
        _ = weights.digest
        with self._lock:
            copy = adapters.reserve(weights, folder or Path(name))
        if copy is not None:
            copy.fill(weights)
        with self._lock:
            return adapters.add(name, weights, folder, copy)

    def remove_adapter(self, name: str) -> None:
        """Let go of an adapter; requests that have arrived end with it. Raises UnknownAdapter."""
        with self._lock:
            self._memory.adapters.remove(name)

    def list_adapters(self) -> dict[str, str]:
        """Return the digest that each registered name stands for."""
        with self._lock:
            return self._memory.adapters.names()

    def counters(self) -> Counters:
        """Return what the engine has now, and did since it was made."""
        with self._lock:
            return Counters(
                pages_free=self.pool.num_free,
                pages_kv=self.pool.count(Owner.KV),
                pages_adapter=self.pool.count(Owner.ADAPTER),
                pages_prefix=self.pool.count(Owner.PREFIX),
                num_running=len(self._scheduler.running),
                num_waiting=len(self._scheduler.waiting),
                num_steps=self._num_steps,
                num_preemptions=self._scheduler.num_preemptions,
                prompt_tokens=self._prompt_tokens,
                prompt_tokens_cached=self._cached_tokens,
                output_tokens=self._output_tokens,
                adapter_reads=self._memory.adapters.num_disk_reads,
                adapter_loads=self._memory.adapters.num_loads,
            )

    def _check(self, request: Request) -> int:
        """Return how many tokens a sequence of a request may have; raises ValueError for what cannot be served."""
        measures = self.architecture
        check_request(
            request, vocab_size=measures.vocab_size, context_len=measures.context_len, has_text=self._has_text
        )
        wanted = min(len(request.prompt) + request.params.max_tokens, measures.context_len)
        taken = 0 if request.adapter is None else self._memory.adapters.newest(request.adapter).num_pages
        room = self.pool.num_pages - taken
        if self._scheduler.pages_for(len(request.prompt) + 1) > room:
            raise ValueError(
                f"a prompt has {len(request.prompt)} tokens, expected fewer: memory has {room} pages for it"
            )
        # The last token is drawn and never cached.
        return min(wanted, bisect_right(range(wanted), room, key=self._scheduler.pages_for))

    @torch.inference_mode()
    def _run(self, plan: Plan) -> None:
        for sequence_id in (*plan.closed, *(swap.sequence for swap in plan.swapped_out)):
            self._sampler.close(sequence_id)
        begun = [*(swap.sequence for swap in plan.swapped_in), *(opened.sequence for opened in plan.opened)]
        for sequence_id in begun:
            self._open_draws(self._sequences[sequence_id])
        in_flight = None if self._draw is None else InFlight(self._draw.tokens.clamp(min=0), self._draw.sequences)
        states = self._runner.run(plan, in_flight)
        self._scheduler.commit(plan)
        self._prompt_tokens += sum(opened.num_tokens for opened in plan.opened)
        self._cached_tokens += sum(part.end - part.start for opened in plan.opened for part in opened.known)
        for sequence_id, scored in states.scored.items():
            self._score(self._sequences[sequence_id], scored)
        # While the device computes this step, the host takes the tokens of the one before.
        self._take_drawn()
        self._launch_draws(states)
        if not self._overlaps:
            self._take_drawn()

    def _launch_draws(self, states: States) -> None:
        """Begin to draw behind the states of a step, but for sequences that have ended since it was planned."""
        drawing = [self._sequences.get(sequence_id) for sequence_id in states.sequences]
        going_on = [one for one in drawing if one is not None and one.finish is None]
        if going_on:
            positions = [-1 if one is None or one.finish is not None else len(one.tokens) for one in drawing]
            self._draw = self._sampler.launch(self._decoder.logits(states.drawn), states.sequences, positions)
            for sequence in going_on:
                sequence.is_drawn = True

    def _take_drawn(self) -> None:
        """Take the tokens that were drawn last, once they are there."""
        draw, self._draw = self._draw, None
        if draw is not None:
            for sequence_id, one in zip(draw.sequences, draw.read(), strict=True):
                sequence = self._sequences.get(sequence_id)
                if sequence is not None and sequence.is_drawn:
                    self._take(sequence, one)

    def _open_draws(self, sequence: Sequence) -> None:
        params = sequence.request.params
        self._sampler.open(
            sequence.id,
            params,
            # A request's seed is that of its first candidate.
            params.seed if not sequence.candidate else stream_seed(params.seed, sequence.candidate),
            sequence.tokens,
            sequence.num_prompt,
            self._stopping.ends_of(sequence),
            self._matchers.get(sequence.id),
        )

    def _take(self, sequence: Sequence, drawn: Drawn) -> None:
        """Take a token that was drawn."""
        sequence.is_drawn = False
        self._news.append(sequence)
        if drawn.error:
            sequence.is_refused = drawn.is_refused
            self._scheduler.end(sequence, Finish.ERROR, drawn.error)
            return
        self._output_tokens += 1
        self._scheduler.drawn(sequence)
        sequence.tokens.append(drawn.token_id)
        if drawn.logprobs is not None:
            sequence.logprobs.append(drawn.logprobs)
        try:
            finish = self._stopping.finish_of(sequence)
        except TextError as error:
            self._scheduler.end(sequence, Finish.ERROR, str(error))
            return
        if drawn.is_last:
            finish = Finish.STOP
        if finish is not None:
            self._scheduler.end(sequence, finish)

    def _score(self, sequence: Sequence, states: torch.Tensor) -> None:
        """Take the log-probabilities of a chunk of a prompt: each state tells those of the token behind it."""
        if not sequence.prompt_logprobs:
            sequence.prompt_logprobs.append(None)
        first = len(sequence.prompt_logprobs)
        tokens = sequence.request.prompt[first : first + len(states)]
        if tokens:
            logits = self._decoder.logits(states[: len(tokens)])
            counts = [sequence.request.params.logprobs or 0] * len(tokens)
            sequence.prompt_logprobs += top_logprobs(logits, tokens, counts)

    def _give_up(self, error: str) -> None:
        """End what runs with an error, and forget all that is on the device."""
        self._draw = None
        self._scheduler.give_up(error, self._sequences.values())
        self._runner.reset()
        self._sampler.reset()
        # Those, too, that ended in the step before it failed, or were not told yet that they had.
        self._news = deque(sequence for sequence in self._sequences.values() if sequence.finish is not None)
        self._tell_news()

    def _tell_news(self) -> None:
        """Call the listeners of all that have a token more or have ended."""
        while self._news:
            sequence = self._news.popleft()
            # A listener before may have cancelled it.
            if sequence.id in self._sequences:
                self._tell(sequence)

    def _tell(self, sequence: Sequence) -> None:
        try:
            self._listeners[sequence.id](sequence)
        except Exception as error:
            if sequence.finish is not None:
                _LOG.warning("a listener failed at the end of a sequence", exc_info=error)
            else:
                self._scheduler.end(sequence, Finish.ERROR, f"its listener failed: {type(error).__name__}: {error}")
                self._tell(sequence)
        # Only now: an end that an interrupt cuts off is told again.
        if sequence.finish is not None and sequence.id in self._sequences:
            del self._sequences[sequence.id], self._listeners[sequence.id]
            self._matchers.pop(sequence.id, None)


def stream_seed(seed: int, number: int) -> int:
    """Return the seed of one of the streams of draws that share a seed."""
    digest = hashlib.blake2b(f"{seed} {number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
