"""Figures of several fronts on one page, each with its front as a label: one that is started again counts anew."""

from collections.abc import Iterable, Iterator

import msgspec
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

FRONT = "front"


class Family(msgspec.Struct, frozen=True, array_like=True):
    """The samples of one figure: the name, the labels and the value of each."""

    name: str
    said: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


def families_of(figures: Collector, front: int) -> list[Family]:
    """Return the figures of a front, each with its number. When each began is left out: what falls has begun anew."""
    label = {FRONT: str(front)}
    return [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [
                (sample.name, {**label, **sample.labels}, float(sample.value))
                for sample in metric.samples
                if not sample.name.endswith("_created")
            ],
        )
        for metric in figures.collect()
    ]


def page_of(fronts: Iterable[Iterable[Family]]) -> bytes:
    """Return the figures of all fronts in Prometheus' text format, in which samples of one name stand together."""
    merged: dict[str, Metric] = {}
    for family in (family for families in fronts for family in families):
        metric = merged.setdefault(family.name, Metric(family.name, family.said, family.kind))
        for name, labels, value in family.samples:
            metric.add_sample(name, labels, value)
    return generate_latest(_Collected(merged.values()))


class _Collected(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)
