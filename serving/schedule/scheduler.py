"""The scheduler: what the next step does, under the pool's bounds. It touches no tensor.

A step decodes all sequences that have read their prompt, the oldest first; if pages run out the newest gives way. Then
prompts that are being read go on, then waiting sequences begin, within the budget of tokens. One that does not fit
holds up those behind it, so nothing waits for ever: what runs ends, what is idle is given up, and a request that would
not fit into the empty pool is refused at the door.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ...kernels.cache.kv_pages import PAGE_SIZE
from ...specs.files.errors import InputError
from ..memory.adapter_store import AdapterStore
from ..memory.pool import Owner, Pool
from ..memory.prefix_cache import Part, PrefixCache
from ..requests.request import Finish
from ..requests.sequence import Phase, Sequence
from .fair_share import FairShare
from .plan import DRAWN, Opened, Plan, Stored, StoredPart, Swap, Work
from .settings import EngineSettings
from .waiting import Waiting


@dataclass(slots=True)
class _Draft:
    """A plan in the making."""

    closed: list[int] = field(default_factory=list)
    swapped_out: list[Swap] = field(default_factory=list)
    dropped_swaps: list[int] = field(default_factory=list)
    swapped_in: list[Swap] = field(default_factory=list)
    opened: list[Opened] = field(default_factory=list)
    work: list[Work] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)


class Scheduler:
    """Who runs, and which pages each has.

    blocks_for   how many blocks a sequence of so many tokens takes
    block_pages  how many pages a block takes
    block_bytes  how many bytes of host memory it takes when swapped out
    shares_pages  whether sequences read the prefix cache's blocks where they lie, or take copies
    """

    def __init__(
        self,
        settings: EngineSettings,
        pool: Pool,
        adapters: AdapterStore,
        prefixes: PrefixCache,
        *,
        blocks_for: Callable[[int], int],
        block_pages: int,
        block_bytes: int,
        shares_pages: bool,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._adapters = adapters
        self._prefixes = prefixes
        self._blocks_for = blocks_for
        self._block_pages = block_pages
        self._block_bytes = block_bytes
        self._shares_pages = shares_pages
        self._fair_share = FairShare(settings.weights)
        self.waiting = Waiting(self._fair_share, settings.max_adapters)
        # In the order in which they began: the newest is the first to be preempted.
        self.running: dict[int, Sequence] = {}
        # Which sequence reads a prompt that others wait for, by the key of its end.
        self._reading: dict[bytes, Sequence] = {}
        self._swapped_blocks: dict[int, int] = {}
        self._draft = _Draft()
        self.num_preemptions = 0

    @property
    def has_to_let_go(self) -> bool:
        """Whether something ended since the last plan, and the next one lets go of what it held."""
        return bool(self._draft.closed or self._draft.dropped_swaps)

    def pages_for(self, num_tokens: int) -> int:
        """Return how many pages a sequence of so many tokens takes."""
        return self._blocks_for(num_tokens) * self._block_pages

    def add(self, sequence: Sequence) -> None:
        """Let a sequence wait for its turn."""
        if sequence.version is not None:
            self._adapters.expect(sequence.version)
        self.waiting.append(sequence)

    def end(self, sequence: Sequence, finish: Finish, error: str = "") -> None:
        """End a sequence: all that it holds is free at once."""
        if sequence.is_running:
            self._stop(sequence)
            self._draft.closed.append(sequence.id)
        else:
            self.waiting.remove(sequence)
            if self._swapped_blocks.pop(sequence.id, None) is not None:
                self._draft.dropped_swaps.append(sequence.id)
        sequence.phase, sequence.finish, sequence.error = Phase.DONE, finish, error
        sequence.is_drawn = False
        if sequence.version is not None:
            self._adapters.dismiss(sequence.version)

    def drawn(self, sequence: Sequence) -> None:
        """Count a token that was drawn for a sequence."""
        self._fair_share.charge(sequence.request.tenant, num_output=1)

    def plan(self, now: float, step_time: float) -> tuple[Plan, list[Sequence]]:
        """Return the next step, and the sequences that ended without one.

        `now` and the expected time of a step are in seconds.
        """
        ended = self._overdue(now, step_time)
        num_preemptions = self.num_preemptions
        budget = self._settings.token_budget - self._decode()
        for sequence in self._oldest(Phase.PREFILL):
            budget -= self._read(sequence, budget)
        if self.num_preemptions == num_preemptions:
            # Else what was taken away would come back at once.
            ended += self._begin_some(budget)
        draft, self._draft = self._draft, _Draft()
        self._pool.clock += 1
        plan = Plan(
            number=self._pool.clock,
            closed=tuple(draft.closed),
            swapped_out=tuple(draft.swapped_out),
            dropped_swaps=tuple(draft.dropped_swaps),
            unloaded=self._adapters.take_unloaded(),
            dropped=self._prefixes.take_dropped(),
            loaded=self._adapters.take_loaded(),
            swapped_in=tuple(draft.swapped_in),
            opened=tuple(draft.opened),
            work=tuple(draft.work),
            stored=tuple(draft.stored),
        )
        return plan, ended

    def commit(self, plan: Plan) -> None:
        """Take note that a plan was carried out."""
        for stored in plan.stored:
            self._prefixes.publish([part.key for part in stored.parts])
        for work in plan.work:
            sequence = self.running[work.sequence]
            sequence.num_done = work.start + len(work.token_ids)
            if work.samples:
                sequence.phase = Phase.DECODE
                self._reads_no_more(sequence)
        for opened in plan.opened:
            if opened.has_state:
                sequence = self.running[opened.sequence]
                sequence.num_done, sequence.phase = opened.num_tokens, Phase.DECODE

    def give_up(self, error: str, sequences: Iterable[Sequence]) -> None:
        """End those that run, after a step that was cut off, and forget all that is on the device.

        The books may be half written. They are made anew, of the sequences that have not ended, in their order.
        """
        self._pool.reset()
        self._prefixes.reset()
        self._fair_share.reset()
        self.waiting = Waiting(self._fair_share, self._settings.max_adapters)
        self.running.clear()
        self._reading.clear()
        self._swapped_blocks.clear()
        self._draft = _Draft()
        for sequence in sequences:
            sequence.blocks, sequence.used, sequence.is_drawn = [], [], False
            if sequence.is_running:
                sequence.phase, sequence.finish, sequence.error = Phase.DONE, Finish.ERROR, error
            elif sequence.finish is None:
                sequence.phase, sequence.num_done = Phase.WAITING, 0
                self.waiting.append(sequence)
        self._adapters.reset(one.version for one in self.waiting if one.version is not None)

    def _overdue(self, now: float, step_time: float) -> list[Sequence]:
        """End what waits and can no longer begin in time (early abort; S-LoRA, section 6.3)."""
        late = self.waiting.overdue(now + step_time)
        for sequence in late:
            self.end(sequence, Finish.DEADLINE, f"its first token was not to be had in {sequence.request.deadline} s")
        return late

    def _oldest(self, phase: Phase) -> list[Sequence]:
        """Return those that run in a phase, the oldest first."""
        return [one for one in self.running.values() if one.phase is phase]

    def _decode(self) -> int:
        """Plan a token of each sequence that decodes, and return how many there are."""
        for sequence in self._oldest(Phase.DECODE):
            # One whose last token is on its way has nothing more to draw.
            is_full = sequence.is_drawn and len(sequence.tokens) + 1 >= sequence.limit
            if not is_full and sequence.phase is Phase.DECODE and self._grow(sequence):
                self._work(sequence, sequence.num_done, sequence.num_done + 1)
        return len(self._draft.work)

    def _grow(self, sequence: Sequence) -> bool:
        """Give a sequence room for one more token; False if it was itself the one to give way."""
        missing = self._blocks_for(sequence.num_done + 1) - len(sequence.blocks)
        while missing > 0:
            pages = self._pool.allocate(missing * self._block_pages, Owner.KV)
            if pages is not None:
                sequence.blocks += self._in_blocks(pages)
                return True
            newest = next(reversed(self.running.values()))
            self._preempt(newest)
            if newest is sequence:
                return False
        return True

    def _preempt(self, sequence: Sequence) -> None:
        self.num_preemptions += 1
        num_blocks, held = len(sequence.blocks), tuple(sequence.blocks)
        is_swapped = (
            self._settings.preemption == "swap"
            and sequence.phase is Phase.DECODE
            and (sum(self._swapped_blocks.values()) + num_blocks) * self._block_bytes <= self._settings.swap_bytes
        )
        self._stop(sequence)
        if is_swapped:
            sequence.phase = Phase.SWAPPED
            self._swapped_blocks[sequence.id] = num_blocks
            self._draft.swapped_out.append(Swap(sequence.id, sequence.num_done, held))
        else:
            sequence.phase, sequence.num_done = Phase.WAITING, 0
            self._draft.closed.append(sequence.id)
            if not sequence.num_produced and not sequence.is_drawn:
                # Its prompt is read, and scored, from the beginning.
                sequence.prompt_logprobs.clear()
        self.waiting.put_back(sequence)

    def _stop(self, sequence: Sequence) -> None:
        """Free what a running sequence holds."""
        del self.running[sequence.id]
        self._reads_no_more(sequence)
        self._pool.free(page for block in sequence.blocks[self._num_shared(sequence.used) :] for page in block)
        sequence.blocks = []
        self._prefixes.release(sequence.used)
        sequence.used = []
        if sequence.version is not None:
            self._adapters.release(sequence.version)

    def _begin_some(self, budget: int) -> list[Sequence]:
        """Begin waiting sequences while there is room, and return those that ended instead."""
        ended = []
        in_use = {one.version for one in self.running.values() if one.version is not None}
        while len(self.running) < self._settings.max_rows and budget > 0:
            sequence = self.waiting.next(in_use, self._is_held_up)
            if sequence is None:
                break
            if sequence.version is not None and not self._adapters.is_at_hand(sequence.version):
                self._adapters.want(sequence.version)
                continue
            try:
                has_begun = self._begin(sequence)
            except InputError as error:
                # All that wait for this adapter: it is not read again for each.
                broken = [one for one in self.waiting if one.version is sequence.version]
                for one in broken:
                    self.end(one, Finish.ERROR, str(error))
                ended += broken
                continue
            if not has_begun:
                break
            if sequence.version is not None:
                in_use.add(sequence.version)
            if sequence.phase is Phase.PREFILL:
                budget -= self._read(sequence, budget)
            else:
                budget -= 1
        return ended

    def _is_held_up(self, sequence: Sequence) -> bool:
        """Whether a sequence gains from waiting: another reads its prompt, or its adapter is being read."""
        is_awaited = sequence.version is not None and self._adapters.is_awaited(sequence.version)
        return is_awaited or self._is_read_by_another(sequence)

    def _is_read_by_another(self, sequence: Sequence) -> bool:
        """Whether the whole prompt is being read by another sequence, and can be taken over in a moment."""
        return (
            sequence.parts[-1].key in self._reading
            and sequence.phase is Phase.WAITING
            and not sequence.num_produced
            and not sequence.request.params.prompt_logprobs
        )

    def _reads_no_more(self, sequence: Sequence) -> None:
        key = sequence.parts[-1].key
        if self._reading.get(key) is sequence:
            del self._reading[key]

    def _begin(self, sequence: Sequence) -> bool:
        """Let a waiting sequence run if it and its adapter have room; raises InputError for files that changed."""
        if sequence.version is not None and not self._adapters.acquire(sequence.version):
            return False
        known = self._known(sequence)
        self._prefixes.use(known)
        num_tokens = sequence.num_done + 1 if sequence.phase is Phase.SWAPPED else len(sequence.tokens)
        shared = [tuple(self._prefixes.pages(part.key)) for part in known[: self._num_shared(known)]]
        pages = self._pool.allocate(self.pages_for(num_tokens) - len(shared) * self._block_pages, Owner.KV)
        if pages is None and known:
            # What it would take over stands in its own way.
            self._prefixes.release(known)
            known, shared = [], []
            pages = self._pool.allocate(self.pages_for(num_tokens), Owner.KV)
        if pages is None:
            self._prefixes.release(known)
            if sequence.version is not None:
                self._adapters.release(sequence.version)
            return False
        self.waiting.remove(sequence)
        sequence.blocks, sequence.used = [*shared, *self._in_blocks(pages)], known
        if not sequence.has_begun:
            # Once, however often it is taken back.
            self._fair_share.charge(sequence.request.tenant, num_input=sequence.num_prompt)
        sequence.has_begun = True
        self.running[sequence.id] = sequence
        self._open(sequence, known)
        return True

    def _open(self, sequence: Sequence, known: list[Part]) -> None:
        if sequence.phase is Phase.SWAPPED:
            del self._swapped_blocks[sequence.id]
            self._draft.swapped_in.append(Swap(sequence.id, sequence.num_done, tuple(sequence.blocks)))
            sequence.phase = Phase.DECODE
            return
        sequence.phase = Phase.PREFILL
        sequence.num_done = known[-1].end if known else 0
        if not sequence.num_produced:
            sequence.num_cached = sequence.num_done
        has_state = bool(known) and known[-1] == sequence.parts[-1]
        parts = tuple(self._stored(part, self._prefixes.pages(part.key)) for part in known)
        self._draft.opened.append(Opened(sequence.id, len(sequence.tokens), tuple(sequence.blocks), parts, has_state))
        if has_state:
            sequence.phase = Phase.DECODE
        elif not sequence.num_produced and self._settings.caches_prefixes:
            self._reading.setdefault(sequence.parts[-1].key, sequence)

    def _known(self, sequence: Sequence) -> list[Part]:
        """Return what a sequence can take over from the prefix cache; one token at least is left to compute."""
        if not self._settings.caches_prefixes or sequence.phase is Phase.SWAPPED:
            return []
        if sequence.request.params.prompt_logprobs:
            return []
        known = self._prefixes.known(sequence.parts)
        if known and known[-1] == sequence.parts[-1]:
            # The state behind the prompt is of use where its first token is to be drawn.
            if not sequence.num_produced:
                return known
            known = known[:-1]
        while known and known[-1].end >= len(sequence.tokens):
            known = known[:-1]
        return known

    def _read(self, sequence: Sequence, budget: int) -> int:
        """Plan the next chunk of a prompt, if the budget has room for it, and return how many tokens it has."""
        start, chunk_len = sequence.num_done, self._settings.chunk_len
        end = min(len(sequence.tokens), (start // chunk_len + 1) * chunk_len)
        is_first = all(work.decodes for work in self._draft.work)
        if end - start > budget and not (is_first and budget > 0):
            return 0
        self._work(sequence, start, end)
        if end == len(sequence.tokens) and not sequence.num_produced and self._settings.caches_prefixes:
            self._store(sequence)
        return end - start

    def _store(self, sequence: Sequence) -> None:
        """Plan to keep the parts of a prompt that the prefix cache lacks, as far as there is room without need."""
        stored = []
        for number, part in enumerate(sequence.parts):
            if part.key in self._prefixes:
                continue
            if self._shares_pages and part != sequence.parts[-1]:
                if number != self._num_shared(sequence.used):
                    # Another sequence has stored what lies before, so these blocks would not follow each other.
                    break
                pages = list(sequence.blocks[number])
                self._prefixes.adopt(part, pages)
                sequence.used.append(part)
            else:
                found = self._prefixes.add(part, self._block_pages)
                if found is None:
                    break
                pages = found
            stored.append(self._stored(part, pages))
        if stored:
            has_end = stored[-1].key == sequence.parts[-1].key
            self._draft.stored.append(Stored(sequence.id, tuple(stored), has_end))

    def _work(self, sequence: Sequence, start: int, end: int) -> None:
        params = sequence.request.params
        self._draft.work.append(
            Work(
                sequence=sequence.id,
                start=start,
                token_ids=tuple(sequence.tokens[start:end]) or (DRAWN,),
                blocks=tuple(sequence.blocks),
                adapter=-1 if sequence.version is None else sequence.version.slot,
                decodes=sequence.phase is Phase.DECODE,
                samples=end == len(sequence.tokens) + sequence.is_drawn,
                scores=params.prompt_logprobs and not sequence.num_produced,
            )
        )

    def _num_shared(self, parts: list[Part]) -> int:
        """Return how many of the parts that a sequence uses are blocks of its own table: all but an end."""
        return sum(part.end - part.start == PAGE_SIZE for part in parts) if self._shares_pages else 0

    def _stored(self, part: Part, pages: list[int]) -> StoredPart:
        return StoredPart(part.key, part.start, part.end, tuple(pages))

    def _in_blocks(self, pages: list[int]) -> list[tuple[int, ...]]:
        size = self._block_pages
        return [tuple(pages[first : first + size]) for first in range(0, len(pages), size)]
