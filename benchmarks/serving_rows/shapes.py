"""Decoders in the shapes of real models and adapters for them, of random weights."""

import torch

from verilora.serving.memory.adapter_weights import AdapterWeights, LowRank
from verilora.serving.models.architecture import Architecture
from verilora.serving.models.decoder import Decoder
from verilora.serving.models.product import Product
from verilora.serving.models.weights import DecoderWeights, LayerWeights

from .workload import SHAPES

HEAD_DIM, CONTEXT = 128, 8192


def random_decoder(shape: str, device: torch.device) -> Decoder:
    """Return a decoder of a shape with random weights in bf16 on a GPU, in fp32 on a CPU."""
    layers, hidden, wide, heads, kv_heads, vocab_size = SHAPES[shape]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    noise = torch.Generator(device).manual_seed(0)

    def random(*dims: int) -> torch.Tensor:
        return torch.empty(dims, dtype=dtype, device=device).normal_(std=0.02, generator=noise)

    def norm() -> torch.Tensor:
        return torch.ones(hidden, dtype=dtype, device=device)

    architecture = Architecture(
        num_layers=layers,
        hidden_size=hidden,
        intermediate_size=wide,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=HEAD_DIM,
        vocab_size=vocab_size,
        context_len=CONTEXT,
        norm_eps=1e-5,
        windows=(0,) * layers,
        frequencies=1.0 / 500000.0 ** (torch.arange(0, HEAD_DIM, 2) / HEAD_DIM),
        rope_scale=1.0,
        has_head_norms=False,
    )
    return Decoder(
        architecture,
        DecoderWeights(
            embedding=random(vocab_size, hidden),
            layers=tuple(
                LayerWeights(
                    input_norm=norm(),
                    qkv=Product.of(random(architecture.query_width + 2 * architecture.kv_width, hidden)),
                    query_norm=None,
                    key_norm=None,
                    o=Product.of(random(hidden, architecture.query_width)),
                    mlp_norm=norm(),
                    gate_up=Product.of(random(2 * wide, hidden)),
                    down=Product.of(random(hidden, wide)),
                )
                for _ in range(layers)
            ),
            norm=norm(),
            head=Product.of(random(vocab_size, hidden)),
        ),
    )


def random_adapter(architecture: Architecture, rank: int, seed: int) -> AdapterWeights:
    noise = torch.Generator().manual_seed(seed)
    places = {}
    for name in "qkvo":
        wide, out = architecture.widths[name]
        for layer in range(architecture.num_layers):
            down = torch.randn(rank, wide, generator=noise).mul_(wide**-0.5).bfloat16()
            places[layer, name] = LowRank(down, torch.randn(out, rank, generator=noise).mul_(0.01).bfloat16(), 2.0)
    return AdapterWeights(places)
