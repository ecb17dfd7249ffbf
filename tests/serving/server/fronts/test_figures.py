"""Figures of several fronts stand on one page that Prometheus can read, and it stays small."""

from prometheus_client.parser import text_string_to_metric_families

from verilora.serving.server.fronts.figures import families_of, page_of
from verilora.serving.server.metrics import Metrics


def busy(num_adapters: int = 3) -> Metrics:
    """Return the figures of a front without an engine that was asked for some adapters."""
    metrics = Metrics(None)
    for number in range(num_adapters):
        label = metrics.label(f"{'x' * 120}-{number}")
        metrics.adapter_requests.labels(label).inc()
        metrics.adapter_tokens.labels(label).inc(2)
        metrics.first_token.observe(0.01)
    return metrics


def test_each_front_has_its_own_samples_under_one_head() -> None:
    page = page_of([families_of(busy(2).registry, 0), families_of(busy(5).registry, 1)]).decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert page.count("# TYPE verilora_adapter_tokens_total counter\n") == 1
    tokens: dict[str, float] = {}
    for sample in families["verilora_adapter_tokens"].samples:
        tokens[sample.labels["front"]] = tokens.get(sample.labels["front"], 0) + sample.value
    assert tokens == {"0": 4, "1": 10}
    counts = [
        (sample.labels["front"], sample.value)
        for sample in families["verilora_time_to_first_token_seconds"].samples
        if sample.name.endswith("_count")
    ]
    assert counts == [("0", 2), ("1", 5)]
    assert all("front" in sample.labels for family in families.values() for sample in family.samples)


def test_two_thousand_adapters_on_four_fronts_are_a_small_page() -> None:
    page = page_of(families_of(busy(2000).registry, number) for number in range(4))
    assert page.count(b"verilora_adapter_requests_total{") == 4 * 51
    assert len(page) < 200 * 1024
