import pytest
import torch

from verilora.kernels.layers.rms_norm import rms_norm_reference
from verilora.kernels.layers.rope import rope_reference, rotary_table
from verilora.kernels.layers.rotation import HeadNorms, Rotation, turn_heads

TABLE = rotary_table(torch.tensor([1.0, 0.3]), 16)


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("has_norms", [False, True])
def test_queries_and_keys_are_turned_in_place_and_values_left_alone(has_norms: bool) -> None:
    rotation = Rotation(positions=torch.tensor([3, -1, 15]), table=TABLE)
    norms = HeadNorms(query=random(4, seed=1), key=random(4, seed=2), eps=1e-6) if has_norms else None
    qkv = random(3, 8, 4, seed=3)
    before = qkv.clone()
    query, keys, values = turn_heads(rotation, qkv, 2, norms)
    assert query.data_ptr() == qkv.data_ptr()
    assert torch.equal(torch.cat((query, keys, values), 1), qkv)
    assert torch.equal(values, before[:, 6:])
    wanted = before[:, :4], before[:, 4:6]
    if norms is not None:
        wanted = tuple(
            rms_norm_reference(heads, weight, 1e-6)
            for heads, weight in zip(wanted, (norms.query, norms.key), strict=True)
        )
    expected = rope_reference(wanted[0].clone(), wanted[1].clone(), rotation.positions, TABLE)
    assert torch.equal(query, expected[0])
    assert torch.equal(keys, expected[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": torch.zeros(3)},
        {"positions": torch.zeros(3, 1).long()},
        {"positions": torch.zeros(6).long()[::2]},
        {"table": TABLE.double()},
        {"table": TABLE[:, :3].contiguous()},
        {"table": TABLE[::2]},
        {"table": TABLE[0]},
    ],
)
def test_a_rotation_checks_itself(changes: dict[str, torch.Tensor]) -> None:
    given = {"positions": torch.zeros(3).long(), "table": TABLE}
    assert Rotation(**given).half == 2
    with pytest.raises(ValueError, match=f"{next(iter(changes))}, got"):
        Rotation(**{**given, **changes})


@pytest.mark.parametrize("key", [torch.ones(8), torch.ones(4).half(), torch.ones(8)[::2]])
def test_norms_check_themselves(key: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="head norms, got"):
        HeadNorms(query=torch.ones(4), key=key, eps=1e-6)
