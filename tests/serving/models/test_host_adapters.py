import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.serving.models.host_adapters import HostAdapter, HostAdapters, LowRankProduct

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ("q", "k", "v")
WIDTH, RANKS, OUTS = 24, (3, 5), (16, 8, 8)


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def adapter(seed: int) -> HostAdapter:
    """Return an adapter of q at rank 3 and v at rank 5, in layer 1."""
    ups = (
        (slice(0, 3), slice(0, 16), random(3, 16, seed=seed + 1)),
        (slice(3, 8), slice(24, 32), random(5, 8, seed=seed + 2)),
    )
    return HostAdapter({(1, NAMES): LowRankProduct(random(WIDTH, 8, seed=seed), ups)})


def dense(seed: int) -> torch.Tensor:
    down = random(WIDTH, 8, seed=seed)
    query, values = down[:, :3] @ random(3, 16, seed=seed + 1), down[:, 3:] @ random(5, 8, seed=seed + 2)
    return torch.cat([query, torch.zeros(WIDTH, 8), values], 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-1, 2), min_size=1, max_size=40))
def test_each_row_takes_its_own_adapter(ids: list[int]) -> None:
    """-1 is the base model. A row that is alone has the bits that it has in company."""
    x, output = random(len(ids), WIDTH, seed=1), random(len(ids), 32, seed=2)
    rows = {number: [row for row, one in enumerate(ids) if one == number] for number in range(3)}
    taken = [(adapter(10 * number), own) for number, own in rows.items() if own]
    got = output.clone()
    HostAdapters(taken).add(1, NAMES, got, x)
    for row, number in enumerate(ids):
        if number < 0:
            assert torch.equal(got[row], output[row])
        else:
            torch.testing.assert_close(got[row], output[row] + x[row] @ dense(10 * number), rtol=1e-4, atol=1e-4)
            alone = output[row : row + 1].clone()
            HostAdapters([(adapter(10 * number), [0])]).add(1, NAMES, alone, x[row : row + 1])
            assert torch.equal(alone[0], got[row])


def test_what_an_adapter_lacks_stays_as_it_is() -> None:
    output, x = random(3, 32, seed=2), random(3, WIDTH, seed=1)
    got = output.clone()
    adapters = HostAdapters([(adapter(0), [0, 1, 2])])
    adapters.add(0, NAMES, got, x)
    adapters.add(1, ("o",), got, x)
    assert torch.equal(got, output)
    adapters.add(1, NAMES, got, x)
    assert torch.equal(got[:, 16:24], output[:, 16:24]), "it has no keys"
    assert not torch.equal(got, output)
