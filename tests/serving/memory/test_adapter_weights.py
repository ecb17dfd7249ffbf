import torch

from verilora.serving.memory.adapter_weights import AdapterWeights, LowRank

Q, UP = (0, "q"), (1, "up")


def pair(rank: int, value: float = 1.0, scale: float = 0.5, dtype: torch.dtype = torch.float32) -> LowRank:
    down = torch.arange(rank * 4, dtype=dtype).view(rank, 4) * value
    return LowRank(down, torch.ones(6, rank, dtype=dtype), scale)


def test_measures() -> None:
    weights = AdapterWeights({Q: pair(2), UP: pair(3)})
    assert weights.max_rank == 3
    assert weights.num_bytes == 4 * (2 * 4 + 6 * 2 + 3 * 4 + 6 * 3)


def test_the_digest_is_of_the_content() -> None:
    weights = AdapterWeights({Q: pair(2), UP: pair(3)})
    assert weights.digest == AdapterWeights({UP: pair(3), Q: pair(2)}).digest, "in any order"
    assert weights.digest == AdapterWeights({Q: pair(2, dtype=torch.float64), UP: pair(3)}).digest
    others = [
        AdapterWeights({Q: pair(2)}),
        AdapterWeights({Q: pair(3), UP: pair(2)}),
        AdapterWeights({Q: pair(2), UP: pair(3, value=2)}),
        AdapterWeights({Q: pair(2), UP: pair(3, scale=0.25)}),
        AdapterWeights({(1, "q"): pair(2), UP: pair(3)}),
        AdapterWeights({(0, "k"): pair(2), UP: pair(3)}),
    ]
    digests = {weights.digest, *(other.digest for other in others)}
    assert len(digests) == 1 + len(others)
    assert all(len(digest) == 64 for digest in digests)


def test_a_slice_has_the_digest_of_its_copy() -> None:
    whole = torch.arange(40.0).view(5, 8)
    view = AdapterWeights({Q: LowRank(whole[:2, ::2], whole[:, :2], 1.0)})
    copy = AdapterWeights({Q: LowRank(whole[:2, ::2].contiguous(), whole[:, :2].contiguous(), 1.0)})
    assert view.digest == copy.digest
