"""Tiny language models with random weights, saved as Hugging Face saves them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from verilora.synth.models.chat import Chat
from verilora.synth.models.language_model import load_model

PAD, END, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def tiny_tokenizer(texts: Iterable[str], *, chat: bool = True) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer; without `chat` it has neither a chat template nor a token for padding."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    special = [PAD, END, USER, ASSISTANT] if chat else [END]
    tokenizer.train_from_iterator(
        texts, BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=ByteLevel.alphabet())
    )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD if chat else None)
    wrapped.chat_template = CHAT_TEMPLATE if chat else None
    return wrapped


def save_tiny_model(folder: Path, tokenizer: Any, model_type: str = "llama", **changes: object) -> Path:
    """Save a model of two layers with random weights and its tokenizer, and return the folder."""
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **changes,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **settings)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_tiny_adapter(
    folder: Path, model: nn.Module, *, scale: float = 1.0, save_embedding_layers: bool = False
) -> Path:
    """Save a LoRA adapter of rank 4 for all linear layers, with random weights, and return the folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
        for name, weights in adapted.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(weights, std=scale)
        adapted.save_pretrained(str(folder), save_embedding_layers=save_embedding_layers)
    return folder


def base_model(model: str | Path | None = None) -> nn.Module:
    """Return a base model as transformers has it, as it is trained."""
    chat = Chat(model)
    return load_model(chat.folder, "cpu", len(chat.tokenizer))


def random_adapter(folder: Path, model: Path | None, kind: dict[str, object]) -> tuple[Path, nn.Module]:
    """Save a LoRA adapter of a kind with random weights; return the folder, and the model with it as PEFT has it."""
    settings = {"target_modules": "all-linear", "r": 4, "task_type": "CAUSAL_LM", **kind}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        adapted = get_peft_model(base_model(model), LoraConfig(**settings))
        for name, weights in adapted.named_parameters():
            if "lora_B" in name or "lora_embedding" in name:
                nn.init.normal_(weights, std=0.5)
    adapted.save_pretrained(str(folder))
    return folder, adapted.eval()
