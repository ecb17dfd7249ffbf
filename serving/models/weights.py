"""A decoder's weights, fused: q, k, v in one product, gate and up in another."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from .architecture import Architecture
from .product import Product


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWeights:
    """One layer. The norms of query and key heads [head_dim] are those of Qwen3."""

    input_norm: torch.Tensor
    qkv: Product
    query_norm: torch.Tensor | None
    key_norm: torch.Tensor | None
    o: Product
    mlp_norm: torch.Tensor
    gate_up: Product
    down: Product


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderWeights:
    """All of a decoder: embedding [vocab_size, hidden_size], the layers, the last norm, the output layer."""

    embedding: torch.Tensor
    layers: tuple[LayerWeights, ...]
    norm: torch.Tensor
    head: Product

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype

    def invariant(self) -> "DecoderWeights":
        """Return the same weights, in products that do not depend on the number of rows on a GPU either."""

        def same(layer: LayerWeights) -> LayerWeights:
            products = {name: getattr(layer, name) for name in ("qkv", "o", "gate_up", "down")}
            return replace(layer, **{name: replace(one, is_invariant=True) for name, one in products.items()})

        return replace(self, layers=tuple(map(same, self.layers)), head=replace(self.head, is_invariant=True))


def weights_of(model: nn.Module, architecture: Architecture, device: torch.device) -> DecoderWeights:
    """Return the weights of a model of transformers on a device; what is fused is copied there part by part."""
    module: Any = model
    embedding = module.get_input_embeddings().weight.detach().to(device)
    output = module.get_output_embeddings().weight
    is_tied = output.data_ptr() == module.get_input_embeddings().weight.data_ptr()
    layers = tuple(_layer(dict(layer.named_parameters()), architecture, device) for layer in module.model.layers)
    return DecoderWeights(
        embedding=embedding,
        layers=layers,
        norm=module.model.norm.weight.detach().to(device),
        head=Product.of(embedding if is_tied else output.detach().to(device)),
    )


def _layer(known: dict[str, torch.Tensor], architecture: Architecture, device: torch.device) -> LayerWeights:
    def one(name: str) -> torch.Tensor:
        return known[name].detach().to(device)

    def product(place: str, *names: str) -> Product:
        """Return the product of projections side by side; where one has a bias, the others have zeros."""
        weights = [one(f"{place}.{name}_proj.weight") for name in names]
        biases = [known.get(f"{place}.{name}_proj.bias") for name in names]
        fused = torch.cat(weights) if len(weights) > 1 else weights[0]
        if all(bias is None for bias in biases):
            return Product.of(fused)
        filled = [
            weight.new_zeros(len(weight)) if bias is None else bias.detach().to(device)
            for bias, weight in zip(biases, weights, strict=True)
        ]
        return Product.of(fused, torch.cat(filled))

    has_norms = architecture.has_head_norms
    return LayerWeights(
        input_norm=one("input_layernorm.weight"),
        qkv=product("self_attn", "q", "k", "v"),
        query_norm=one("self_attn.q_norm.weight") if has_norms else None,
        key_norm=one("self_attn.k_norm.weight") if has_norms else None,
        o=product("self_attn", "o"),
        mlp_norm=one("post_attention_layernorm.weight"),
        gate_up=product("mlp", "gate", "up"),
        down=product("mlp", "down"),
    )
