"""vLLM on a workload, in a process of its own: prints a line of JSON with output tokens a second by popularity.

    PYTHONPATH=SITE python benchmarks/serving_rows/vllm_peer.py --shape 8b --popularities none distinct --max-loras 64

SITE is where vLLM is installed. The model has random weights, as ours has.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

from workload import POPULARITIES, SHAPES, Workload

MODULES = {"q_proj": (4096, 4096), "k_proj": (4096, 0), "v_proj": (4096, 0), "o_proj": (4096, 4096)}
RANK = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", required=True, choices=SHAPES)
    parser.add_argument("--popularities", nargs="+", choices=POPULARITIES, required=True)
    parser.add_argument("--max-loras", type=int, default=64)
    parser.add_argument("--max-model-len", type=int, default=8192)
    for name in ("num-requests", "prompt-len", "output-len", "num-rows"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    workload = Workload(
        num_requests=options.num_requests,
        prompt_len=options.prompt_len,
        output_len=options.output_len,
        num_rows=options.num_rows,
    )
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options, workload)


def measure(folder: Path, options: argparse.Namespace, workload: Workload) -> None:
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    has_adapters = options.popularities != ["none"]
    lora = {"enable_lora": True, "max_loras": options.max_loras, "max_lora_rank": RANK, "max_cpu_loras": 64}
    started = time.perf_counter()
    model = LLM(
        model=str(write_model(folder / options.shape, options.shape)),
        load_format="dummy",
        skip_tokenizer_init=True,
        dtype="bfloat16",
        max_model_len=options.max_model_len,
        max_num_seqs=workload.num_rows,
        gpu_memory_utilization=0.85,
        enable_prefix_caching=False,
        disable_log_stats=True,
        **(lora if has_adapters else {}),
    )
    print(json.dumps({"start_seconds": round(time.perf_counter() - started, 1)}), flush=True)
    adapter = write_adapter(folder / "adapter", options.shape) if has_adapters else folder
    prompts = [{"prompt_token_ids": prompt} for prompt in workload.prompts(SHAPES[options.shape][-1])]
    params = SamplingParams(temperature=0.0, max_tokens=workload.output_len, ignore_eos=True, detokenize=False)
    for popularity in options.popularities:
        numbers = workload.adapters(popularity)
        loras = None if popularity == "none" else [LoRARequest(f"{n}", 1 + n, str(adapter)) for n in numbers]
        # All is compiled and loaded by the first of two runs.
        for _ in range(2):
            began = time.perf_counter()
            outputs = model.generate(prompts, params, lora_request=loras, use_tqdm=False)
            seconds = time.perf_counter() - began
        num_tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
        print(json.dumps({"popularity": popularity, "tokens_per_second": round(num_tokens / seconds, 1)}), flush=True)


def write_model(folder: Path, shape: str) -> Path:
    layers, hidden, wide, heads, kv_heads, vocab_size = SHAPES[shape]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "hidden_size": hidden,
        "intermediate_size": wide,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocab_size,
        "rope_theta": 500000.0,
        "max_position_embeddings": 131072,
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_adapter(folder: Path, shape: str) -> Path:
    """Return an adapter's folder; its names differ, and its numbers need not."""
    import torch
    from safetensors.torch import save_file

    layers, hidden, _, heads, kv_heads, _ = SHAPES[shape]
    tensors = {}
    for layer in range(layers):
        for name, (wide, out) in MODULES.items():
            before = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            tensors[f"{before}.lora_A.weight"] = (torch.randn(RANK, wide) * 0.01).bfloat16()
            out = out or hidden // heads * kv_heads
            tensors[f"{before}.lora_B.weight"] = (torch.randn(out, RANK) * 0.01).bfloat16()
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "target_modules": [*MODULES],
        "base_model_name_or_path": shape,
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


if __name__ == "__main__":
    main()
