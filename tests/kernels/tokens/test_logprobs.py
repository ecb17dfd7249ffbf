"""Log-probabilities against fp64 and a stable sort."""

import pytest
import torch

from verilora.kernels.tokens.logprobs import Logprobs, launch_logprobs, logprobs, logprobs_reference

from device_checks import assert_repeats, assert_replays, assert_same_bits, device_cases

# The sum over the vocabulary and the difference, in fp32; the logits themselves are exact in every type.
TOLERANCE = 2e-5
# num_rows, vocab_size, num_top, block
SHAPES = [
    pytest.param((1, 1, 1, 64), id="one token"),
    pytest.param((3, 63, 0, 64), id="the chosen alone"),
    pytest.param((5, 129, 7, 64), id="several blocks"),
    pytest.param((2, 1000, 20, 16), id="many blocks"),
]
LARGE = {f"{vocab_size}": (64, vocab_size, 20) for vocab_size in (32000, 128256, 151936)}


def inputs(
    num_rows: int, vocab_size: int, dtype: torch.dtype, device: str = "cpu", seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits, many of them equal and some forbidden, and chosen tokens; the second row is padding."""
    generator = torch.Generator().manual_seed(seed)
    logits = (4 * torch.randn(num_rows, vocab_size, generator=generator)).to(dtype)
    logits[:, vocab_size // 2 :] = logits[:, vocab_size // 2 :].round()
    logits[torch.rand(num_rows, vocab_size, generator=generator) < 0.1] = float("-inf")
    logits[:, -1] = -0.0
    tokens = torch.randint(0, vocab_size, (num_rows,), generator=generator)
    tokens[1:2] = -1
    return logits.to(device), tokens.to(device)


def assert_exact(found: Logprobs, logits: torch.Tensor, tokens: torch.Tensor) -> None:
    exact = logits.double().log_softmax(-1)
    num_top = found.top.shape[1]
    for i, token in enumerate(tokens.tolist()):
        if token < 0:
            assert found.chosen[i].isnan()
            assert found.top[i].isnan().all()
            assert (found.top_ids[i] == -1).all()
            continue
        ids = logits[i].float().sort(descending=True, stable=True).indices[:num_top]
        torch.testing.assert_close(found.chosen[i].double(), exact[i, token], rtol=0, atol=TOLERANCE)
        assert torch.equal(found.top_ids[i], ids)
        torch.testing.assert_close(found.top[i].double(), exact[i, ids], rtol=0, atol=TOLERANCE)


@pytest.mark.interpreter
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_logprobs_are_right(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    num_rows, vocab_size, num_top, block = shape
    logits, tokens = inputs(num_rows, vocab_size, dtype)
    assert_exact(logprobs_reference(logits, tokens, num_top), logits, tokens)
    assert_exact(launch_logprobs(logits, tokens, num_top, block=block), logits, tokens)


@pytest.mark.interpreter
def test_odd_rows_have_logprobs() -> None:
    infinity = float("inf")
    logits = torch.tensor([[-infinity] * 3, [float("nan"), 0.0, -infinity], [-0.0, 0.0, -1e30]])
    tokens = torch.tensor([1, 1, 0])
    for found in (logprobs_reference(logits, tokens, 3), launch_logprobs(logits, tokens, 3)):
        half = -torch.tensor(2.0).log()
        torch.testing.assert_close(found.chosen, torch.stack((torch.tensor(-infinity), torch.tensor(0.0), half)))
        assert found.top_ids.tolist() == [[0, 1, 2], [1, 0, 2], [0, 1, 2]]
        assert (found.top[0] == -infinity).all()
        assert (found.top[1, 1:] == -infinity).all()


def test_other_shapes_are_refused() -> None:
    logits, tokens = inputs(3, 63, torch.float32)
    with pytest.raises(ValueError, match="tokens, got"):
        launch_logprobs(logits, tokens[:2], 1)
    with pytest.raises(ValueError, match="num_top, got"):
        launch_logprobs(logits, tokens, 64)
    with pytest.raises(ValueError, match="logits, got"):
        launch_logprobs(torch.zeros(63, 3).T, tokens, 1)
    with pytest.raises(ValueError, match="out, got"):
        launch_logprobs(logits, tokens, 2, out=logprobs_reference(logits, tokens, 1))
    wide = logprobs_reference(logits, tokens, 5)
    with pytest.raises(ValueError, match="out, got"):
        launch_logprobs(logits, tokens, 2, out=Logprobs(wide.chosen, wide.top[:, :2], wide.top_ids[:, :2]))
    with pytest.raises(ValueError, match="out, got"):
        launch_logprobs(logits, tokens, 5, out=wide._replace(chosen=wide.chosen[:2]))
    with pytest.raises(ValueError, match="tokens, got"):
        launch_logprobs(logits, tokens[:1].expand(3), 1)


@pytest.mark.gpu
@pytest.mark.parametrize(("shape", "dtype"), device_cases(LARGE))
def test_real_shapes_on_a_device(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    num_rows, vocab_size, num_top = shape
    logits, tokens = inputs(num_rows, vocab_size, dtype, "cuda")

    def run() -> Logprobs:
        return logprobs(logits, tokens, num_top)

    assert_exact(run(), logits, tokens)
    assert_repeats(run)
    alone = logprobs(logits[5:6], tokens[5:6], num_top)
    assert_same_bits(alone, [rows[5:6] for rows in run()])
    fresh = inputs(num_rows, vocab_size, dtype, "cuda", seed=1)
    fresh[1][40:] = -1
    assert_replays(run, [logits, tokens], fresh)
