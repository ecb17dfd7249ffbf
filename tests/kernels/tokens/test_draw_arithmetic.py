"""The arithmetic of draws against exact integers, known answers and fp64."""

import torch

from verilora.kernels.tokens.draw_arithmetic import LEAST_EXPONENT, below, fixed_exp, philox


def test_random_words_are_those_of_philox() -> None:
    """Its authors' known answer for a counter and key of zeros."""
    zero = torch.zeros(1, dtype=torch.int64)
    assert [int(word) for word in philox(zero, zero)] == [0x6627E8D5, 0xE169C58D]


def test_scaling_is_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    totals = torch.cat((torch.randint(1, 2**58, (200,), generator=generator), torch.tensor([1, 2**58, 2**40])))
    high, low = torch.randint(0, 2**32, (2, len(totals)), generator=generator)
    high[-3:] = low[-3:] = 2**32 - 1
    columns = (totals.tolist(), high.tolist(), low.tolist(), below(totals, high, low).tolist())
    for total, first, second, found in zip(*columns, strict=True):
        assert found == total * ((first >> 1 << 31) + (second >> 1)) >> 62
        assert 0 <= found < total


def test_the_exponential_is_within_two_units_in_the_last_place() -> None:
    x = torch.linspace(LEAST_EXPONENT.value, 0, 100001)
    assert (fixed_exp(x).double() / x.double().exp() - 1).abs().max() <= 2**-23
    assert fixed_exp(torch.tensor([0.0, -28.1, float("-inf")])).tolist() == [1.0, 0.0, 0.0]
