import pytest
import torch
from decoders import tiny_architecture
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.serving.memory.adapter_weights import AdapterWeights, LowRank
from verilora.serving.memory.host_adapter import host_adapter
from verilora.serving.models.host_adapters import FUSED, HostAdapters

pytestmark = pytest.mark.usefixtures("one_thread")
MEASURES = tiny_architecture()
PLACES = [(layer, name) for layer in range(2) for name in MEASURES.widths]


def weights_for(ranks: dict[tuple[int, str], int], scale: float = 0.7) -> AdapterWeights:
    generator = torch.Generator().manual_seed(0)
    places = {}
    for layer, name in sorted(ranks):
        width, out = MEASURES.widths[name]
        rank = ranks[layer, name]
        down, up = (torch.randn(shape, generator=generator) for shape in ((rank, width), (out, rank)))
        places[layer, name] = LowRank(down, up, scale)
    return AdapterWeights(places)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(PLACES), st.integers(1, 9), min_size=1),
    st.sampled_from(FUSED),
    st.integers(0, 1),
    st.integers(1, 6),
)
def test_each_projection_gets_its_own_product(
    ranks: dict[tuple[int, str], int], names: tuple[str, ...], layer: int, num_rows: int
) -> None:
    weights = weights_for(ranks)
    x = torch.randn(num_rows, MEASURES.widths[names[0]][0], generator=torch.Generator().manual_seed(1))
    expected = torch.cat(
        [
            pair.scale * x @ pair.down.T @ pair.up.T
            if (pair := weights.places.get((layer, name)))
            else torch.zeros(num_rows, MEASURES.widths[name][1])
            for name in names
        ],
        1,
    )
    got = torch.zeros_like(expected)
    adapter = host_adapter(weights, MEASURES, torch.float32)
    HostAdapters([(adapter, range(num_rows))]).add(layer, names, got, x)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert (adapter.product(layer, names) is None) == (not any((layer, name) in ranks for name in names))


@pytest.mark.parametrize("rank", [1, 2, 8])
def test_a_row_has_the_same_bits_at_any_rank_whatever_its_neighbours_are(rank: int) -> None:
    adapter = host_adapter(weights_for(dict.fromkeys(PLACES, rank)), MEASURES, torch.float32)
    for names in FUSED:
        width, out = MEASURES.widths[names[0]][0], sum(MEASURES.widths[name][1] for name in names)
        x, output = (torch.randn(40, size, generator=torch.Generator().manual_seed(2)) for size in (width, out))
        whole = output.clone()
        HostAdapters([(adapter, range(40))]).add(0, names, whole, x)
        for rows in ([3], [3, 4, 5], [3, 9, 31], list(range(2, 39))):
            some = output.clone()
            HostAdapters([(adapter, rows)]).add(0, names, some, x)
            assert torch.equal(some[rows], whole[rows]), (names, rows)


def test_half_precision_is_that_of_the_model() -> None:
    adapter = host_adapter(weights_for({(0, "o"): 2}), MEASURES, torch.bfloat16)
    product = adapter.product(0, ("o",))
    assert product is not None
    assert {product.down.dtype, *(up.dtype for _, _, up in product.ups)} == {torch.bfloat16}
