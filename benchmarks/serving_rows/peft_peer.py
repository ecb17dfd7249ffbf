"""transformers with PEFT on a workload: batches of as many rows as run at a time, each row its own adapter."""

import time

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from .shapes import HEAD_DIM
from .workload import SHAPES, Workload

RANK = 16


def model_of(shape: str) -> LlamaForCausalLM:
    layers, hidden, wide, heads, kv_heads, vocab_size = SHAPES[shape]
    config = LlamaConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        intermediate_size=wide,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=HEAD_DIM,
        vocab_size=vocab_size,
        rms_norm_eps=1e-5,
        bos_token_id=1,
        eos_token_id=None,
        pad_token_id=0,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            return LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)


def with_adapters(model: LlamaForCausalLM, num_adapters: int) -> PeftModel:
    modules = ["q_proj", "k_proj", "v_proj", "o_proj"]
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=modules, task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config, adapter_name="0")
    for number in range(1, num_adapters):
        adapted.add_adapter(str(number), config)
    return adapted.bfloat16().eval()


@torch.inference_mode()
def tokens_per_second(shape: str, workload: Workload, popularity: str) -> float:
    """Return output tokens a second of one batch of those that run at a time, the better of two runs."""
    model = model_of(shape)
    numbers = workload.adapters(popularity)[: workload.num_rows]
    names: dict[str, list[str]] = {}
    if popularity != "none":
        model = with_adapters(model, 1 + max(number or 0 for number in numbers))
        if popularity != "identical":
            names = {"adapter_names": [str(number) for number in numbers]}
    prompts = torch.tensor(workload.prompts(SHAPES[shape][-1])[: workload.num_rows], device="cuda")
    best = float("inf")
    for _ in range(2):
        torch.cuda.synchronize()
        started = time.perf_counter()
        model.generate(
            input_ids=prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=workload.output_len,
            min_new_tokens=workload.output_len,
            do_sample=False,
            **names,
        )
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return workload.num_rows * workload.output_len / best
