"""What a server tells Prometheus. Labels are few: adapters have names of their own while they are among the busiest."""

from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from ..wire.engine_host import EngineHost, EngineState
from .loop_lag import LoopLag

NUM_LABELS = 50
OTHER = "other"
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)
_LATE_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)


class Metrics:
    """Counts and times of a front's requests in `registry`; beside it the engine's figures if this front keeps it."""

    def __init__(self, engine: EngineHost | None) -> None:
        self.registry = CollectorRegistry()
        self._of_engine = CollectorRegistry()
        late = self._histogram("event_loop_late_seconds", "How late the event loop was.", _LATE_SECONDS)
        self.lag = LoopLag(late.observe)
        if engine is not None:
            self._of_engine.register(_EngineCollector(engine))
        self.registry.register(_LagCollector(self.lag))
        self.requests = self._counter("requests", "Requests by route and status.", ("route", "status"))
        self.adapter_requests = self._counter("adapter_requests", "Requests by model.", ("model",))
        self.adapter_tokens = self._counter("adapter_tokens", "Generated tokens by model.", ("model",))
        self.first_token = self._histogram("time_to_first_token_seconds", "From a request to its first token.")
        self.per_token = self._histogram("time_per_output_token_seconds", "Between tokens, the mean of a request.")
        self.whole = self._histogram("request_seconds", "From a request to its last token.")
        self._busiest = Busiest(NUM_LABELS)

    def label(self, model: str) -> str:
        """Return how a model is named in labels, and count that it was asked for."""
        label, evicted = self._busiest.label(model)
        if evicted is not None:
            for counter in (self.adapter_requests, self.adapter_tokens):
                if (evicted,) in counter._metrics:
                    counter.remove(evicted)
        return label

    def page(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self.registry) + self.engine_page()

    def engine_page(self) -> bytes:
        """Return the engine's figures in that format."""
        return generate_latest(self._of_engine)

    def _counter(self, name: str, said: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"verilora_{name}", said, labels, registry=self.registry)

    def _histogram(self, name: str, said: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
        return Histogram(f"verilora_{name}", said, registry=self.registry, buckets=buckets)


class Busiest:
    """Names that have a label of their own: as many as there are labels, those that are asked for most.

    Another takes the place of the least asked only with twice its number, so labels seldom change hands.
    """

    def __init__(self, num_labels: int) -> None:
        self._num_labels = num_labels
        self._tally: Tally[str] = Tally()
        self._labelled: set[str] = set()

    def label(self, name: str) -> tuple[str, str | None]:
        """Return a name's label, and the name that loses its own for it, if one does."""
        self._tally[name] += 1
        if name in self._labelled:
            return name, None
        if len(self._labelled) < self._num_labels:
            self._labelled.add(name)
            return name, None
        least = min(self._labelled, key=lambda known: (self._tally[known], known))
        if self._tally[name] <= 2 * self._tally[least]:
            return OTHER, None
        self._labelled.remove(least)
        self._labelled.add(name)
        return name, least


class _EngineCollector(Collector):
    """The engine's figures, as its last message told them."""

    def __init__(self, engine: EngineHost) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        stats = self._engine.stats
        pages = GaugeMetricFamily("verilora_pool_pages", "Pages of the engine's memory, by owner.", labels=["owner"])
        for owner in ("free", "kv", "adapter", "prefix"):
            pages.add_metric([owner], getattr(stats, f"pages_{owner}"))
        yield pages
        yield _gauge("requests_running", "Sequences that run.", stats.num_running)
        yield _gauge("requests_waiting", "Sequences that wait.", stats.num_waiting)
        yield _gauge("engine_ready", "Whether the engine is ready.", self._engine.state is EngineState.READY)
        yield _count("engine_restarts", "Times that the engine was started again.", self._engine.num_restarts)
        yield _count("engine_steps", "Steps of the engine.", stats.num_steps)
        yield _count("preemptions", "Sequences that gave way.", stats.num_preemptions)
        yield _count("prompt_tokens", "Tokens of prompts.", stats.prompt_tokens)
        yield _count("prompt_tokens_cached", "Of these, known from before.", stats.prompt_tokens_cached)
        yield _count("output_tokens", "Tokens that were drawn.", stats.output_tokens)
        yield _count("adapter_reads", "Adapters that were read from disk.", stats.adapter_reads)
        yield _count("adapter_loads", "Adapters that were brought into the pool.", stats.adapter_loads)


class _LagCollector(Collector):
    """How late the event loop was since the last time."""

    def __init__(self, lag: LoopLag) -> None:
        self._lag = lag

    def collect(self) -> Iterator[Metric]:
        yield _gauge("event_loop_lag_seconds", "The event loop's worst lag since the last time.", self._lag.take())

    def describe(self) -> Iterator[Metric]:
        """Name it without asking, which would begin again."""
        yield _gauge("event_loop_lag_seconds", "", 0)


def _gauge(name: str, said: str, value: float) -> Metric:
    return GaugeMetricFamily(f"verilora_{name}", said, value=value)


def _count(name: str, said: str, value: float) -> Metric:
    return CounterMetricFamily(f"verilora_{name}", said, value=value)
