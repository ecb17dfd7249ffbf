"""What is told of a server beside the bare engine."""

from dataclasses import dataclass

from .measures import AdapterLoads, Load, Speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """How fast some streams come. `bare` is the mean of what was measured before and behind the server.

    engine_overhead  the engine's CPU time a token beside the bare engine's: 0.1 is a tenth more
    """

    streams: int
    bare: float
    bare_before: Speed
    bare_behind: Speed
    share: float
    engine_overhead: float
    load: Load


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstToken:
    """The median time to the first token in milliseconds, of the same arrivals."""

    rate: float
    bare: float
    served: float
    added: float
    load: Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """A load while adapters are loaded; `share` is that of the same load without them."""

    adapters: AdapterLoads
    streams: int
    share: float
    load: Load


@dataclass(frozen=True, slots=True, kw_only=True)
class BareFigures:
    """What the engine does without a server: tokens a second by number of streams, and the rate of the arrivals."""

    rate: float
    speeds: dict[int, Speed]
    first_token: float
