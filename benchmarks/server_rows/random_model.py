"""A model in a shape of a real one, of random weights in bf16, as files: the server finds no difference."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from serving_rows.shapes import CONTEXT, HEAD_DIM
from serving_rows.workload import SHAPES
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

PAD, END = "<|pad|>", "<|end|>"
STD = 0.02


def write_model(folder: Path, shape: str, device: str) -> Path:
    """Return a folder with a model of a shape, drawn on a device, a file a layer; one that is there stays."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_of(shape)))
    write_tokenizer(folder, SHAPES[shape][-1])
    noise = torch.Generator(device).manual_seed(0)
    places = {}
    for number, part in enumerate(parts_of(shape)):
        name = f"model-{number:05}.safetensors"
        save_file({key: drawn(dims, noise) for key, dims in part.items()}, folder / name, {"format": "pt"})
        places |= dict.fromkeys(part, name)
    if noise.device.type == "cuda":
        # What this process keeps of it others cannot have.
        torch.cuda.empty_cache()
    # The last of all: a folder that has it is whole.
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def parts_of(shape: str) -> list[dict[str, tuple[int, ...]]]:
    """Return the tensors of each file: a layer a file, and what stands before and behind them."""
    layers, hidden, wide, heads, kv_heads, vocab_size = SHAPES[shape]
    ends = {
        "model.embed_tokens.weight": (vocab_size, hidden),
        "model.norm.weight": (hidden,),
        "lm_head.weight": (vocab_size, hidden),
    }
    layer = {
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
        "self_attn.q_proj.weight": (heads * HEAD_DIM, hidden),
        "self_attn.k_proj.weight": (kv_heads * HEAD_DIM, hidden),
        "self_attn.v_proj.weight": (kv_heads * HEAD_DIM, hidden),
        "self_attn.o_proj.weight": (hidden, heads * HEAD_DIM),
        "mlp.gate_proj.weight": (wide, hidden),
        "mlp.up_proj.weight": (wide, hidden),
        "mlp.down_proj.weight": (hidden, wide),
    }
    return [ends, *({f"model.layers.{number}.{key}": dims for key, dims in layer.items()} for number in range(layers))]


def drawn(dims: tuple[int, ...], noise: torch.Generator) -> torch.Tensor:
    """Return random weights; those of norms, which have one dimension, are 1."""
    if len(dims) == 1:
        return torch.ones(dims, dtype=torch.bfloat16)
    return torch.empty(dims, dtype=torch.bfloat16, device=noise.device).normal_(std=STD, generator=noise).cpu()


def config_of(shape: str) -> dict[str, object]:
    layers, hidden, wide, heads, kv_heads, vocab_size = SHAPES[shape]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "bos_token_id": None,
        "eos_token_id": vocab_size - 1,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "hidden_size": hidden,
        "intermediate_size": wide,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": HEAD_DIM,
        "vocab_size": vocab_size,
        "rope_theta": 500000.0,
        "max_position_embeddings": CONTEXT,
    }


def write_tokenizer(folder: Path, vocab_size: int) -> None:
    """Write a byte-level tokenizer in which every token has a text, so that each is a piece of a stream."""
    names = [*sorted(ByteLevel.alphabet())]
    names += [f"Ġt{number}" for number in range(vocab_size - len(names) - 2)] + [PAD, END]
    tokenizer = Tokenizer(BPE(vocab={name: number for number, name in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD).save_pretrained(folder)
