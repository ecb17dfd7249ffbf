"""Adapters for a server to load: one set of random weights under many configurations, and so many digests."""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save_file

from verilora.serving.models.projections import projections_of
from verilora.synth.models.model_files import described

RANK = 16


def write_adapters(root: Path, model: Path, num_adapters: int) -> list[str]:
    """Return the names of folders under a root, each with an adapter of rank 16 on q, k, v and o of a model."""
    root.mkdir()
    weights = root / "weights"
    save_file(_tensors(model), weights)
    names = [f"load-{number}" for number in range(num_adapters)]
    for number, name in enumerate(names):
        folder = root / name
        folder.mkdir()
        # A second name of the same file, not a link to it: what is served is a copy.
        os.link(weights, folder / "adapter_model.safetensors")
        # Another scale is another adapter.
        (folder / "adapter_config.json").write_text(json.dumps(_config(32 + number)))
    return names


def _tensors(model: Path) -> dict[str, torch.Tensor]:
    found = projections_of(described(model))
    noise = torch.Generator().manual_seed(1)
    tensors = {}
    for layer in range(found.num_layers):
        for name in "qkvo":
            wide, out = found.widths[name]
            before = f"base_model.model.model.layers.{layer}.self_attn.{name}_proj"
            down, up = torch.randn(RANK, wide, generator=noise), torch.randn(out, RANK, generator=noise)
            tensors[f"{before}.lora_A.weight"] = down.mul_(wide**-0.5).bfloat16()
            tensors[f"{before}.lora_B.weight"] = up.mul_(0.01).bfloat16()
    return tensors


def _config(alpha: int) -> dict[str, object]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": alpha,
        "target_modules": [f"{name}_proj" for name in "qkvo"],
        "base_model_name_or_path": None,
        "bias": "none",
    }
