"""Engines of tiny random models, with adapters as PEFT writes them, and what transformers and PEFT answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from verilora.serving.engine.engine import Engine
from verilora.serving.models.architecture import architecture_of
from verilora.serving.models.decoder import Decoder
from verilora.serving.models.weights import weights_of
from verilora.serving.schedule.settings import EngineSettings

VOCAB_SIZE = 160
SMALL = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}


def random_model(model_type: str = "llama", seed: int = 0, **changes: object) -> Any:
    """Return a model of transformers whose random weights are large enough to prefer some tokens to others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = (
            AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **{**SMALL, **changes})).float().eval()
        )
        for name, weight in model.named_parameters():
            if weight.ndim > 1 or name.endswith("bias"):
                nn.init.normal_(weight, std=0.3)
    return model


def save_adapter(folder: Path, model: nn.Module, seed: int = 0, **settings: Any) -> Path:
    """Save an adapter with random weights for a model, as PEFT does, and return its folder."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        known = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **settings}
        adapted = get_peft_model(model, LoraConfig(**known))
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                nn.init.normal_(weight, std=0.3)
        adapted.save_pretrained(str(folder))
        adapted.unload()
    model.load_state_dict(state)
    return folder


def engine_of(model: Any, *, is_paged: bool = False, device: str = "cpu", **settings: Any) -> Engine:
    """Return an engine of a model, with little memory unless it is said otherwise."""
    architecture = architecture_of(model.config, Path("model"))
    decoder = Decoder(architecture, weights_of(model, architecture, torch.device(device)))
    defaults = {"memory_bytes": 2**24, "max_rows": 16, "token_budget": 128, "chunk_len": 64}
    return Engine(decoder, EngineSettings(**{**defaults, **settings}), is_paged=is_paged)


class Reference:
    """What transformers answers greedily with a model, alone or with adapters of PEFT, without a cache or a batch."""

    def __init__(self, model: nn.Module, adapters: Sequence[Path] = (), device: str = "cpu") -> None:
        self._model: Any = model
        self._device = device
        for folder in adapters:
            if isinstance(self._model, PeftModel):
                self._model.load_adapter(str(folder), adapter_name=folder.name)
            else:
                self._model = PeftModel.from_pretrained(model, str(folder), adapter_name=folder.name)
        self._model.eval()

    def follows(self, prompt: Sequence[int], answer: Sequence[int], adapter: str | None = None) -> bool:
        """Return whether each token of an answer is the likeliest behind all before it."""
        return all(self.agreement(prompt, answer, adapter))

    def agreement(self, prompt: Sequence[int], answer: Sequence[int], adapter: str | None = None) -> list[bool]:
        """Return of each token of an answer whether it is the likeliest behind all before it."""
        likeliest = self.logits([*prompt, *answer], adapter)[len(prompt) - 1 : -1].argmax(-1)
        return [found == token for found, token in zip(likeliest.tolist(), answer, strict=True)]

    def logprobs(self, prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
        """Return the log-probability of each token of an answer."""
        found = self.logits([*prompt, *answer])[len(prompt) - 1 : -1].float().log_softmax(-1)
        return found[range(len(answer)), [*answer]]

    @torch.no_grad()
    def logits(self, ids: Sequence[int], adapter: str | None = None) -> torch.Tensor:
        """Return the logits of all tokens of a text."""
        given = torch.tensor([[*ids]], device=self._device)
        if not isinstance(self._model, PeftModel):
            return self._model(input_ids=given).logits[0]
        if adapter is None:
            with self._model.disable_adapter():
                return self._model(input_ids=given).logits[0]
        self._model.set_adapter(adapter)
        return self._model(input_ids=given).logits[0]


def random_prompts(num_prompts: int, seed: int = 0, longest: int = 60) -> list[tuple[int, ...]]:
    """Return prompts of random tokens and lengths."""
    noise = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (num_prompts,), generator=noise).tolist()
    return [tuple(torch.randint(0, VOCAB_SIZE, (length,), generator=noise).tolist()) for length in lengths]
