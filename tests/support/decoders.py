"""Tiny decoders, as transformers has them and as the engine computes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from verilora.serving.kv.contiguous import ContiguousCache
from verilora.serving.kv.contiguous_attention import Chunk, ContiguousAttention
from verilora.serving.models.architecture import Architecture, architecture_of
from verilora.serving.models.decoder import Decoder
from verilora.serving.models.weights import weights_of

VOCAB_SIZE = 97


def tiny_config(model_type: str = "llama", **changes: object) -> Any:
    """Return the configuration of a decoder of two layers, two heads and one head of keys."""
    settings: dict[str, Any] = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 256,
        "initializer_range": 0.2,
        **changes,
    }
    return AutoConfig.for_model(model_type, **settings)


def tiny_model(model_type: str = "llama", **changes: object) -> Any:
    """Return a model of transformers whose random weights, biases and norms too, are large enough to count."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(tiny_config(model_type, **changes))
        for name, weights in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                weights += 0.2 * torch.randn_like(weights)
    return model.eval()


def tiny_architecture(model_type: str = "llama", **changes: object) -> Architecture:
    """Return what the engine makes of the configuration."""
    return architecture_of(tiny_config(model_type, **changes), Path("tiny"))


def decoder_of(model: Any) -> Decoder:
    """Return a model of transformers as the engine computes it."""
    architecture = architecture_of(model.config, Path("tiny"))
    return Decoder(architecture, weights_of(model, architecture, torch.device("cpu")))


@torch.inference_mode()
def logits_of(decoder: Decoder, token_ids: Sequence[int], chunks: Sequence[int]) -> torch.Tensor:
    """Return the logits behind each token: the prompt is read in chunks of these lengths, and the rest one by one."""
    cache = ContiguousCache(decoder.architecture)
    cache.open(0, sum(chunks))
    found, start = [], 0
    for chunk_len in chunks:
        attention = ContiguousAttention(decoder.architecture, [], [Chunk(cache.prompt(0), start, start + chunk_len)])
        found.append(_step(decoder, token_ids[start : start + chunk_len], start, attention))
        start += chunk_len
    cache.join(0, start)
    for position in range(start, len(token_ids)):
        cache.advance([0])
        attention = ContiguousAttention(decoder.architecture, cache.shelves(), [])
        found.append(_step(decoder, token_ids[position : position + 1], position, attention))
    return decoder.logits(torch.cat(found))


def _step(decoder: Decoder, token_ids: Sequence[int], start: int, attention: ContiguousAttention) -> torch.Tensor:
    positions = torch.arange(start, start + len(token_ids))
    return decoder.forward(torch.tensor(token_ids), positions, attention, None)
