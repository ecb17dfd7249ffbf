"""What can be wrong with an adapter of rank 4 for the tiny model, and what is said about it."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LAYERS = "base_model.model.model.layers"
UP = f"{LAYERS}.0.mlp.up_proj.lora_A.weight"
Damage = Callable[[Path], object]


def with_config(**entries: object) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / CONFIG
        path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))

    return damage


def with_tensor(name: str, tensor: torch.Tensor) -> Damage:
    return lambda folder: save_file({**load_file(folder / WEIGHTS), name: tensor}, folder / WEIGHTS)


def with_value(value: float) -> Damage:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        tensors[UP].view(-1)[-1] = value
        save_file(tensors, folder / WEIGHTS)

    return damage


def only(keep: Callable[[str], bool]) -> Damage:
    def damage(folder: Path) -> None:
        save_file(
            {name: tensor for name, tensor in load_file(folder / WEIGHTS).items() if keep(name)}, folder / WEIGHTS
        )

    return damage


def written(content: bytes) -> Damage:
    return lambda folder: (folder / WEIGHTS).write_bytes(content)


def cut(folder: Path) -> None:
    os.truncate(folder / WEIGHTS, (folder / WEIGHTS).stat().st_size - 100)


def linked(name: str) -> Damage:
    """Return what moves a file out of the folder and links to it."""

    def damage(folder: Path) -> None:
        away = folder.parent / f"away-{name}"
        (folder / name).rename(away)
        (folder / name).symlink_to(away)

    return damage


ROWS = torch.ones(4, 32)
HEADER = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
ALONE = "expected an adapter of lora_A and lora_B alone"
REFUSED: dict[str, tuple[Damage, str]] = {
    "DoRA": (with_config(use_dora=True), rf"{CONFIG}: use_dora: got True, which scales .* is not served: {ALONE}"),
    "lora_bias": (with_config(lora_bias=True), rf"{CONFIG}: lora_bias: got True, which adds a bias .*{ALONE}"),
    "bias": (with_config(bias="all"), rf"{CONFIG}: bias: got 'all', which replaces the base model's biases .*{ALONE}"),
    "bias of some": (with_config(bias="lora_only"), rf"{CONFIG}: bias: got 'lora_only', .*{ALONE}"),
    "modules_to_save": (
        with_config(modules_to_save=["lm_head"]),
        rf"{CONFIG}: modules_to_save: got \['lm_head'\], .*{ALONE}",
    ),
    "target_parameters": (
        with_config(target_parameters=["experts.gate"]),
        rf"{CONFIG}: target_parameters: got \['experts.gate'\], .*{ALONE}",
    ),
    "trainable_token_indices": (
        with_config(trainable_token_indices=[1]),
        rf"{CONFIG}: trainable_token_indices: got \[1\], .*{ALONE}",
    ),
    "KaSA": (with_config(kasa_config={"beta": 1.0}), rf"{CONFIG}: kasa_config: got .*{ALONE}"),
    "VeLoRA": (with_config(velora_config={"scale": 1.0}), rf"{CONFIG}: velora_config: got .*{ALONE}"),
    "MonteCLoRA": (with_config(monteclora_config={"num_samples": 2}), rf"{CONFIG}: monteclora_config: got .*{ALONE}"),
    "QALoRA": (with_config(use_qalora=True), rf"{CONFIG}: use_qalora: got True, .*{ALONE}"),
    "BD-LoRA": (with_config(use_bdlora={"nblocks": 2}), rf"{CONFIG}: use_bdlora: got \{{'nblocks': 2\}}, .*{ALONE}"),
    "another kind": (with_config(peft_type="LOHA"), rf"{CONFIG}: peft_type: got 'LOHA', expected 'LORA'"),
    "LoftQ": (with_config(init_lora_weights="loftq"), rf"{CONFIG}: init_lora_weights: got 'loftq', .* not served"),
    "PiSSA by iteration": (
        with_config(init_lora_weights="pissa_niter_4"),
        rf"{CONFIG}: init_lora_weights: got 'pissa_n",
    ),
    "no expression": (with_config(target_modules="("), rf"{CONFIG}: target_modules: got '\(', expected a regular exp"),
    "no pattern": (with_config(rank_pattern={"[": 2}), rf"{CONFIG}: rank_pattern: got '\[', expected a regular exp"),
    "no pattern of layers": (with_config(layers_pattern=["*"]), rf"{CONFIG}: layers_pattern: got '\*', expected a reg"),
    "another rank": (
        with_config(r=8),
        rf"{WEIGHTS}: {LAYERS}.0.mlp.down_proj.lora_A.weight: got shape \(4, 64\), expected \(8, 64\)",
    ),
    "another rank of some": (
        with_config(rank_pattern={"up_proj": 2}),
        rf"{WEIGHTS}: {UP}: got shape \(4, 32\), expected \(2, 32\): rank 2 by",
    ),
    "more than is named": (
        with_config(target_modules=["q_proj"]),
        rf"{WEIGHTS}: .*: got weights that target_modules of {CONFIG} does not",
    ),
    "less than is named": (
        only(lambda name: "layers.1.self_attn.o_proj" not in name),
        rf"{WEIGHTS}: {LAYERS}.1.self_attn.o_proj.lora_A.weight: is missing, expected it, since target_modules",
    ),
    "half a pair": (only(lambda name: name != UP), rf"{WEIGHTS}: .*\(0, 'up'\), got \['B'\], expected A and B"),
    "no weights": (only(lambda name: False), rf"{WEIGHTS}: got no weights, expected lora_A and lora_B"),
    "LoRA of embeddings": (
        with_tensor("base_model.model.model.embed_tokens.lora_embedding_A", torch.ones(4, 400)),
        rf"{WEIGHTS}: base_model.model.model.embed_tokens.lora_embedding_A: is no part of an adapter that is served",
    ),
    "LoRA of the output layer": (
        with_tensor("base_model.model.lm_head.lora_A.weight", torch.ones(4, 32)),
        rf"{WEIGHTS}: .*'base_model.model.lm_head.lora_A.weight', expected lora_A or lora_B of a decoder layer's proj",
    ),
    "other embeddings": (
        with_tensor("base_model.model.model.embed_tokens.weight", torch.ones(400, 32)),
        rf"{WEIGHTS}: base_model.model.model.embed_tokens.weight: holds embeddings other than the base model's",
    ),
    "a norm": (
        with_tensor("base_model.model.model.norm.weight", torch.ones(32)),
        rf"{WEIGHTS}: base_model.model.model.norm.weight: is no part of an adapter",
    ),
    "a base weight": (
        with_tensor(f"{LAYERS}.0.mlp.up_proj.base_layer.weight", torch.ones(64, 32)),
        rf"{WEIGHTS}: {LAYERS}.0.mlp.up_proj.base_layer.weight: is no part of an adapter",
    ),
    "a magnitude": (
        with_tensor(f"{LAYERS}.0.mlp.up_proj.lora_magnitude_vector", torch.ones(64)),
        rf"{WEIGHTS}: {LAYERS}.0.mlp.up_proj.lora_magnitude_vector: is no part of an adapter",
    ),
    "a diagonal": (
        with_tensor(f"{LAYERS}.0.mlp.up_proj.lora_diag", torch.ones(4)),
        rf"{WEIGHTS}: {LAYERS}.0.mlp.up_proj.lora_diag: is no part of an adapter",
    ),
    "a bias of its own": (
        with_tensor(f"{LAYERS}.0.mlp.up_proj.lora_B.bias", torch.ones(64)),
        rf"{WEIGHTS}: {LAYERS}.0.mlp.up_proj.lora_B.bias: is no part of an adapter",
    ),
    "two adapters": (
        with_tensor(f"{LAYERS}.0.mlp.up_proj.lora_A.other.weight", torch.ones(4, 32)),
        rf"{WEIGHTS}: adapter weights, got .* and .*lora_A.other.weight', expected those of one adapter",
    ),
    "a layer too many": (
        lambda folder: [
            with_tensor(UP.replace(".0.", ".7.").replace("_A", half), ROWS)(folder) for half in ("_A", "_B")
        ],
        rf"{WEIGHTS}: {LAYERS}.7.mlp.up_proj.lora_A.weight: is an adapter for another model: .*expected layers 0 to 1",
    ),
    "another width": (with_tensor(UP, torch.ones(4, 48)), rf"{WEIGHTS}: {UP}: got shape \(4, 48\), expected \(4, 32\)"),
    "three dimensions": (with_tensor(UP, torch.ones(4, 32, 1)), rf"{WEIGHTS}: {UP}: got shape \(4, 32, 1\), expected"),
    "none at all": (with_tensor(UP, torch.ones(0, 32)), rf"{WEIGHTS}: {UP}: got shape \(0, 32\), expected \(4, 32\)"),
    "whole numbers": (
        with_tensor(UP, torch.ones(4, 32, dtype=torch.int8)),
        rf"{WEIGHTS}: {UP}: got numbers of type torch.int8, expected",
    ),
    "eight bits": (
        with_tensor(UP, torch.ones(4, 32).to(torch.float8_e4m3fn)),
        rf"{WEIGHTS}: {UP}: got numbers of type torch.float8",
    ),
    "NaN": (with_value(torch.nan), rf"{WEIGHTS}: {UP}: some weights are not finite, expected numbers; has its"),
    "infinite": (with_value(-torch.inf), rf"{WEIGHTS}: {UP}: some weights are not finite, expected numbers"),
    "a product that overflows": (
        lambda folder: (with_value(1e30)(folder), with_config(lora_alpha=1e38)(folder)),
        rf"{WEIGHTS}: {LAYERS}.0.mlp.\w+.lora_B.weight: some weights are not finite once lora_alpha 1e\+38 scales them",
    ),
    "a scale that overflows": (with_config(lora_alpha=1e300), r"not finite once lora_alpha 1e\+300 scales them"),
    "cut": (cut, rf"{WEIGHTS}: cannot be read: .*expected a whole safetensors file"),
    "empty": (written(b""), rf"{WEIGHTS}: cannot be read: .*expected a whole safetensors file"),
    "a header too large": (written(struct.pack("<Q", 2**62)), rf"{WEIGHTS}: cannot be read: .*expected a whole"),
    "a header over its file": (
        written(struct.pack("<Q", len(HEADER)) + HEADER),
        rf"{WEIGHTS}: cannot be read: .*expected a whole",
    ),
    "weights elsewhere": (linked(WEIGHTS), rf"{WEIGHTS}: is a link that leaves its folder, expected the adapter's own"),
    "configuration elsewhere": (linked(CONFIG), rf"{CONFIG}: is a link that leaves its folder, expected the adapter's"),
    "a link to nothing": (
        lambda folder: (linked(WEIGHTS)(folder), (folder.parent / f"away-{WEIGHTS}").unlink()),
        rf"{WEIGHTS}",
    ),
}
