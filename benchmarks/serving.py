"""Output tokens a second of the engine on one GPU: `python benchmarks/serving.py --shapes 8b --json FILE`.

Random weights in the shape of a real model, random prompts, all submitted at once, greedy, ends ignored, no prefix
cache: 256 requests of 512 + 128 tokens, at most 64 at a time, with adapters of rank 16 on q, k, v, o; request i takes
adapter i mod n. Beside each figure the share of our own base without adapters.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from verilora.serving.engine.engine import Engine
from verilora.serving.memory.adapter_weights import AdapterWeights, LowRank
from verilora.serving.models.architecture import Architecture
from verilora.serving.models.decoder import Decoder
from verilora.serving.models.product import Product
from verilora.serving.models.weights import DecoderWeights, LayerWeights
from verilora.serving.requests.request import Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.schedule.settings import EngineSettings

SHAPES = {
    # layers, hidden, intermediate, heads, KV heads, vocabulary
    "7b": (32, 4096, 11008, 32, 32, 32000),
    "8b": (32, 4096, 14336, 32, 8, 128256),
    "tiny": (2, 512, 1024, 8, 4, 1000),
}
HEAD_DIM, CONTEXT = 128, 8192
SHORT = SamplingParams(temperature=0, max_tokens=2, ignore_eos=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run: `share` is that of the base without adapters."""

    shape: str
    adapters: int
    registered: int
    tokens_per_second: float
    share: float
    steps: int
    start_seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", default=["8b"], choices=SHAPES)
    parser.add_argument("--adapters", nargs="+", type=int, default=[0, 1, 64])
    parser.add_argument("--registered", type=int, default=64, help="adapters that are registered")
    parser.add_argument("--requests", type=int, default=256)
    parser.add_argument("--prompt-len", type=int, default=512)
    parser.add_argument("--output-len", type=int, default=128)
    parser.add_argument("--max-num-seqs", type=int, default=64)
    parser.add_argument("--eager", action="store_true", help="without graphs")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for shape in options.shapes:
        decoder = random_decoder(shape, torch.device(options.device))
        started = time.perf_counter()
        engine = Engine(decoder, settings(options), is_paged=True)
        start_seconds = time.perf_counter() - started
        names = [f"adapter-{number}" for number in range(options.registered)]
        for number, name in enumerate(names if max(options.adapters) else []):
            engine.add_adapter(name, random_adapter(decoder.architecture, 16, number % 64))
        base = 0.0
        for count in options.adapters:
            requests = workload(options, decoder.architecture.vocab_size, names[:count])
            # Everything is compiled, and all adapters are on the device, before time is taken.
            run(engine, [replace(one, params=SHORT) for one in requests[: max(count, 64)]], options.device)
            seconds, steps = run(engine, requests, options.device)
            speed = options.requests * options.output_len / seconds
            base = base or speed
            row = Row(
                shape=shape,
                adapters=count,
                registered=options.registered,
                tokens_per_second=round(speed, 1),
                share=round(speed / base, 4),
                steps=steps,
                start_seconds=round(start_seconds, 1),
            )
            rows.append(row)
            print(row, flush=True)
        del engine, decoder
        if options.device == "cuda":
            torch.cuda.empty_cache()
    if options.json:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
        found = {
            "gpu": torch.cuda.get_device_name() if options.device == "cuda" else "none",
            "torch": torch.__version__,
            "commit": commit.stdout.strip(),
            "rows": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def settings(options: argparse.Namespace) -> EngineSettings:
    return EngineSettings(
        memory_bytes=2**35 if options.device == "cuda" else 2**27,
        max_rows=options.max_num_seqs,
        token_budget=8192,
        chunk_len=2048,
        caches_prefixes=False,
        uses_graphs=not options.eager,
        max_rank=16,
    )


def run(engine: Engine, requests: Sequence[Request], device: str) -> tuple[float, int]:
    """Return the seconds that the requests take, and the steps."""
    before = engine.counters().num_steps
    started = time.perf_counter()
    outputs = engine.generate(requests)
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    for (output,) in outputs:
        assert not output.error, output.error
    return seconds, engine.counters().num_steps - before


def workload(options: argparse.Namespace, vocab_size: int, names: Sequence[str]) -> list[Request]:
    noise = torch.Generator().manual_seed(0)
    prompts = torch.randint(0, vocab_size, (options.requests, options.prompt_len), generator=noise).tolist()
    params = SamplingParams(temperature=0, max_tokens=options.output_len, ignore_eos=True)
    return [
        Request(prompt=tuple(prompt), params=params, adapter=names[number % len(names)] if names else None)
        for number, prompt in enumerate(prompts)
    ]


def random_decoder(shape: str, device: torch.device) -> Decoder:
    """Return a decoder of a shape with random weights in bf16 on a GPU, in fp32 on a CPU."""
    layers, hidden, wide, heads, kv_heads, vocab_size = SHAPES[shape]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    noise = torch.Generator(device).manual_seed(0)

    def random(*dims: int) -> torch.Tensor:
        return torch.empty(dims, dtype=dtype, device=device).normal_(std=0.02, generator=noise)

    def norm() -> torch.Tensor:
        return torch.ones(hidden, dtype=dtype, device=device)

    architecture = Architecture(
        num_layers=layers,
        hidden_size=hidden,
        intermediate_size=wide,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=HEAD_DIM,
        vocab_size=vocab_size,
        context_len=CONTEXT,
        norm_eps=1e-5,
        windows=(0,) * layers,
        frequencies=1.0 / 500000.0 ** (torch.arange(0, HEAD_DIM, 2) / HEAD_DIM),
        rope_scale=1.0,
        has_head_norms=False,
    )
    return Decoder(
        architecture,
        DecoderWeights(
            embedding=random(vocab_size, hidden),
            layers=tuple(
                LayerWeights(
                    input_norm=norm(),
                    qkv=Product.of(random(architecture.query_width + 2 * architecture.kv_width, hidden)),
                    query_norm=None,
                    key_norm=None,
                    o=Product.of(random(hidden, architecture.query_width)),
                    mlp_norm=norm(),
                    gate_up=Product.of(random(2 * wide, hidden)),
                    down=Product.of(random(hidden, wide)),
                )
                for _ in range(layers)
            ),
            norm=norm(),
            head=Product.of(random(vocab_size, hidden)),
        ),
    )


def random_adapter(architecture: Architecture, rank: int, seed: int) -> AdapterWeights:
    noise = torch.Generator().manual_seed(seed)
    places = {}
    for name in "qkvo":
        wide, out = architecture.widths[name]
        for layer in range(architecture.num_layers):
            down = torch.randn(rank, wide, generator=noise).mul_(wide**-0.5).bfloat16()
            places[layer, name] = LowRank(down, torch.randn(out, rank, generator=noise).mul_(0.01).bfloat16(), 2.0)
    return AdapterWeights(places)


if __name__ == "__main__":
    main()
