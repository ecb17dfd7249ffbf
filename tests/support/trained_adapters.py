"""Adapters that were trained for some seconds, so that they are sure of what they say, as real ones are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from verilora.synth.models.language_model import ignoring_renamed_property


@ignoring_renamed_property()
def train_adapter(folder: Path, model: Any, texts: Sequence[Sequence[int]], rank: int, num_steps: int = 60) -> Path:
    """Train an adapter of all linear projections to continue texts, save it as PEFT does, and return its folder."""
    settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    with torch.random.fork_rng():
        torch.manual_seed(rank)
        adapted: Any = get_peft_model(model, settings)
    device = next(model.parameters()).device
    longest = max(map(len, texts))
    ids = torch.tensor([[*text, *[0] * (longest - len(text))] for text in texts], device=device)
    is_text = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts], device=device)
    labels = ids.masked_fill(is_text == 0, -100)
    optimizer = torch.optim.AdamW([weight for weight in adapted.parameters() if weight.requires_grad], lr=2e-3)
    for _ in range(num_steps):
        optimizer.zero_grad()
        adapted(input_ids=ids, attention_mask=is_text, labels=labels).loss.backward()
        optimizer.step()
    adapted.save_pretrained(str(folder))
    adapted.unload()
    return folder
