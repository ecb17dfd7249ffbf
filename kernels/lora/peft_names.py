"""How PEFT names the weights of an adapter, and whose they are. Needs no torch."""

import re
from collections.abc import Iterable

Place = tuple[int, str]
"""A projection of a layer, such as (3, "q")."""

# What stands before the layers and the adapter's name tell whose a weight is.
_PEFT_NAME = re.compile(
    r"(?P<before>(?:base_model\.model\.)?(?:model\.)?)layers\.(?P<layer>0|[1-9]\d*)\."
    r"(?:self_attn\.(?P<attention>[qkvo])|mlp\.(?P<mlp>gate|up|down))_proj"
    r"\.lora_(?P<half>[AB])\.(?:(?P<adapter>[\w-]+)\.)?weight",
    re.ASCII,
)


def places_of(names: Iterable[str]) -> dict[Place, tuple[str, str]]:
    """Return the names of A and B of each projection in a PEFT state dict; anything but linear projections is refused.

    It holds one adapter: raises ValueError for weights of two.
    """
    halves: dict[Place, dict[str, str]] = {}
    first = None
    for name in names:
        found = _PEFT_NAME.fullmatch(name)
        if found is None:
            raise ValueError(f"adapter weight, got {name!r}, expected lora_A or lora_B of a decoder layer's projection")
        first = first or found
        if found["before"] != first["before"] or found["adapter"] != first["adapter"]:
            raise ValueError(f"adapter weights, got {first[0]!r} and {name!r}, expected those of one adapter")
        place = int(found["layer"]), found["attention"] or found["mlp"]
        halves.setdefault(place, {})[found["half"]] = name
    for place, pair in halves.items():
        if pair.keys() != {"A", "B"}:
            raise ValueError(f"adapter weights of {place}, got {sorted(pair)}, expected A and B")
    return {place: (pair["A"], pair["B"]) for place, pair in sorted(halves.items())}
