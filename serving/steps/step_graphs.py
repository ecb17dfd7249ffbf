"""CUDA graphs of steps: all launches of a step as one, over buffers that stay where they are.

There is a graph for each bucket of a step's shape: of rows that decode and the table's width, and with chunks of
prompts, of their tokens. A step takes the smallest that holds it and fills it up with what does nothing, so its
launches are those of what it has to do: a context of 131,072 tokens costs a sequence of 500 nothing. A step that no
graph holds is launched kernel by kernel.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator

import torch

from ..memory.device_adapters import FusedSets
from ..models.host_adapters import FUSED
from .step_buffers import StepBuffers, StepShape

_LOG = logging.getLogger(__name__)
# The narrowest table, in blocks; each further one is four times as wide. The narrowest is one split of attention,
# whose parts then need not be combined.
LEAST_WIDTH, WIDER = 32, 4
# What the adapters of a step may change: nothing, attention, all.
VARIETIES: tuple[FusedSets, ...] = (frozenset(), frozenset({("q", "k", "v"), ("o",)}), frozenset(FUSED))
# With chunks: the fewest tokens, the widest table, and how many chunks; from so many tokens on there may be more.
LEAST_TOKENS, WIDEST = 64, 512
FEW_CHUNKS, MANY_CHUNKS, MANY_TOKENS = 4, 16, 512


def row_buckets(max_rows: int) -> list[int]:
    """Return the numbers of rows that graphs have: powers of two up to 16, then each 16 more."""
    small = [rows for rows in (1, 2, 4, 8) if rows < max_rows]
    return [*small, *range(16, max_rows, 16), max_rows]


def width_buckets(max_blocks: int) -> list[int]:
    """Return the widths of tables that graphs have, in blocks."""
    widths = []
    width = LEAST_WIDTH
    while width < max_blocks:
        widths.append(width)
        width *= WIDER
    return [*widths, max_blocks]


def token_buckets(max_tokens: int) -> list[int]:
    """Return the numbers of tokens of chunks that graphs have: powers of two, and halfway between from 256 on."""
    found = []
    tokens = LEAST_TOKENS
    while tokens < max_tokens:
        found.append(tokens)
        if tokens >= 256 and tokens * 3 // 2 < max_tokens:
            found.append(tokens * 3 // 2)
        tokens *= 2
    return [*found, max_tokens]


def decode_shapes(max_rows: int, max_blocks: int) -> Iterator[StepShape]:
    """Yield the shapes of steps without chunks."""
    for rows in row_buckets(max_rows):
        for width in width_buckets(max_blocks):
            for sets in VARIETIES:
                yield StepShape(rows, 0, 0, 0, width, sets)


def mixed_shapes(max_rows: int, max_tokens: int, chunk_len: int, max_blocks: int) -> Iterator[StepShape]:
    """Yield the shapes of steps with chunks, beside which as many rows decode as there may be."""
    for tokens in token_buckets(max_tokens):
        chunks = min(MANY_CHUNKS if tokens >= MANY_TOKENS else FEW_CHUNKS, max_rows)
        for width in [one for one in width_buckets(max_blocks)[1:] if one <= WIDEST] or [max_blocks]:
            for sets in (VARIETIES[0], VARIETIES[-1]):
                yield StepShape(max_rows, tokens, chunks, min(tokens, chunk_len), width, sets)


def holds(shape: StepShape, wanted: StepShape) -> bool:
    """Return whether a step fits into a shape."""
    has_room = all(have >= want for have, want in zip(shape[:-1], wanted[:-1], strict=True))
    return has_room and wanted.sets <= shape.sets and bool(shape.tokens) == bool(wanted.tokens)


class StepGraphs:
    """The graphs of an engine. Before they are captured, and where there are none, steps run in the same shapes."""

    def __init__(
        self, forward: Callable[[StepShape], torch.Tensor], buffers: StepBuffers, shapes: Iterable[StepShape]
    ) -> None:
        self._forward = forward
        self._buffers = buffers
        # The smallest that holds a step comes first.
        self._shapes = sorted(shapes, key=lambda shape: (shape.tokens, shape.rows, shape.width, len(shape.sets)))
        self._graphs: dict[StepShape, torch.cuda.CUDAGraph] = {}
        self._states = torch.empty(0)

    def shape_of(self, wanted: StepShape) -> StepShape:
        """Return the smallest shape of a graph that holds a step; where none does, one that no kernel is new to."""
        return next((shape for shape in self._shapes if holds(shape, wanted)), None) or self._loose(wanted)

    def _loose(self, wanted: StepShape) -> StepShape:
        """Return a shape in which tensors begin and end as in others of its kind: kernels are compiled for that."""
        max_rows, max_blocks = self._buffers.max_rows, self._buffers.max_blocks
        return StepShape(
            rows=max_rows,
            tokens=-(-wanted.tokens // LEAST_TOKENS) * LEAST_TOKENS,
            chunks=max_rows,
            longest=wanted.longest,
            width=min(-(-wanted.width // LEAST_WIDTH) * LEAST_WIDTH, max_blocks),
            sets=next(sets for sets in (VARIETIES[0], VARIETIES[-1]) if wanted.sets <= sets),
        )

    def run(self, shape: StepShape) -> torch.Tensor:
        """Return the states [rows + tokens, hidden_size] of what the buffers hold, until the next run."""
        if shape not in self._graphs:
            return self._forward(shape)
        self._graphs[shape].replay()
        return self._states[: shape.rows + shape.tokens]

    @torch.inference_mode()
    def capture(self, warm_up: Callable[[StepShape], torch.Tensor], states: torch.Tensor) -> None:
        """Capture all graphs, the largest first, whose memory the others then use.

        `warm_up` runs all kernels of a shape once, which compiles them. All graphs write into `states`.
        """
        self._states = states
        started = time.perf_counter()
        pool = torch.cuda.graph_pool_handle()
        for sets in (VARIETIES[0], VARIETIES[-1]):
            loose = self._loose(StepShape(1, 1, 1, 1, 1, sets))
            self._buffers.fill([], [], loose)
            warm_up(loose)
        for shape in reversed(self._shapes):
            # Rows and chunks that do nothing.
            self._buffers.fill([], [], shape)
            stream = torch.cuda.Stream(states.device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(states.device))
            with torch.cuda.stream(stream):
                warm_up(shape)
            torch.cuda.current_stream(states.device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                states[: shape.rows + shape.tokens] = self._forward(shape)
            self._graphs[shape] = graph
        torch.cuda.synchronize(states.device)
        _LOG.info("captured %d graphs in %.1f s", len(self._graphs), time.perf_counter() - started)
