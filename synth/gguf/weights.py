"""A GGUF file's weights and tokenizer, as transformers has those of a Hugging Face folder."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, dequantize
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoTokenizer,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)

from .gguf_model import GgufModel
from .header import GgufTensor

_CLASSES: dict[str, Any] = {"llama": LlamaForCausalLM, "qwen2": Qwen2ForCausalLM, "qwen3": Qwen3ForCausalLM}


def load_weights(model: GgufModel, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    """Return a plain model with the weights of a GGUF file, and what of its weights did not fit.

    Read here rather than by transformers' `gguf_file`, which passes over tensors that it does not know, takes several
    times as long, and gives a model that counts as quantised: it can be neither saved nor trained. Raises what the
    libraries raise.
    """
    config = AutoConfig.for_model(**model.config)
    content = np.memmap(model.path, mode="r", dtype=np.uint8)
    state = {}
    for name, theirs in model.names():
        weights = _values(content, model.header.tensors[name])
        if model.architecture == "llama":
            weights = _in_halves(weights, theirs, config)
        state[theirs] = torch.tensor(weights, dtype=dtype)
    loaded, info = _CLASSES[model.architecture].from_pretrained(
        None, config=config, state_dict=state, dtype=dtype, output_loading_info=True
    )
    # An adapter's configuration names its base model by it.
    loaded.config.name_or_path = loaded.name_or_path = str(model.path)
    return loaded, info


def load_gguf_tokenizer(model: GgufModel) -> Any:
    """Return the tokenizer in a GGUF file; raises what the libraries raise."""
    with tempfile.TemporaryDirectory() as alone:
        # The files of another tokenizer in the same folder would be taken first.
        (Path(alone) / model.path.name).symlink_to(model.path.absolute())
        read = AutoTokenizer.from_pretrained(alone, gguf_file=model.path.name)
    # Its class brings special tokens of its own: one that is no token of the model would need an embedding.
    written = json.loads(read.backend_tokenizer.to_str())
    written["added_tokens"] = [token for token in written["added_tokens"] if token["id"] < model.num_tokens]
    backend = Tokenizer.from_str(json.dumps(written))
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, **model.special_tokens
    )
    tokenizer.chat_template = model.chat_template
    tokenizer.name_or_path = str(model.path)
    return tokenizer


def _values(content: NDArray[Any], tensor: GgufTensor) -> NDArray[Any]:
    written = content[tensor.start : tensor.start + tensor.num_bytes]
    rows = written.reshape(*tensor.shape[:-1], -1)
    values: NDArray[Any] = dequantize(rows, GGMLQuantizationType(tensor.type_id)).reshape(tensor.shape)
    return values


def _in_halves(weights: NDArray[Any], name: str, config: Any) -> NDArray[Any]:
    """Return the rows of queries and keys as transformers rotates them: the halves of a head, not neighbours."""
    heads = {"q_proj.weight": config.num_attention_heads, "k_proj.weight": config.num_key_value_heads}
    num_heads = heads.get(name.partition(".self_attn.")[2])
    if num_heads is None:
        return weights
    return weights.reshape(num_heads, -1, 2, weights.shape[-1]).swapaxes(1, 2).reshape(weights.shape)
