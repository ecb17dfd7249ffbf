"""The engine on a GPU, step by step: its tokens beside those of transformers and PEFT in fp32."""

import copy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from triton.runtime.jit import JITFunction

from verilora.serving.engine.generator import Generator
from verilora.serving.requests.request import Output, Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.schedule.settings import EngineSettings
from verilora.serving.steps.device_runner import DeviceRunner
from verilora.specs.domain import Domain
from verilora.synth.models.prompt import Prompter

from engines import Reference, engine_of, random_model, random_prompts
from tiny_models import base_model
from trained_adapters import train_adapter

pytestmark = pytest.mark.gpu
RANKS = (4, 8, 16, 32, 64, 5, 24, 12)
NUM_TOKENS = 64
SMALL = EngineSettings(memory_bytes=2**28, max_rows=64)


@pytest.fixture(scope="module")
def prompts(driving: Domain) -> list[tuple[int, ...]]:
    chat = Generator().chat
    prompter = Prompter(driving, chat.prompt_style)
    asked = [prompter.ask(wording) for _, wording in driving.prompts(("train",))]
    return [tuple(ids) for ids in chat.encode(asked)]


@pytest.fixture(scope="module")
def adapters(prompts: list[tuple[int, ...]], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return adapters that were each trained on answers of the base model to other prompts."""
    generator = Generator(settings=SMALL)
    params = SamplingParams(temperature=0.8, max_tokens=NUM_TOKENS, seed=1)
    answers = generator.engine.generate([Request(prompt=prompt, params=params) for prompt in prompts])
    texts = [(*prompt, *answer.token_ids) for prompt, (answer,) in zip(prompts, answers, strict=True)]
    folder, model = tmp_path_factory.mktemp("adapters"), base_model().to("cuda")
    return [
        train_adapter(folder / f"rank{rank}", model, texts[number :: len(RANKS)], rank)
        for number, rank in enumerate(RANKS)
    ]


def answered(generator: Generator, requests: list[Request]) -> list[Output]:
    outputs = [output for (output,) in generator.engine.generate(requests)]
    generator.engine.pool.check()
    assert not {output.error for output in outputs if output.error}
    return outputs


def on_gpu(adapters: list[Path], **settings: Any) -> Generator:
    known = {"memory_bytes": 2**28, "max_rows": 64, **settings}
    generator = Generator(device="cuda", settings=EngineSettings(**known))
    for folder in adapters:
        generator.engine.add_adapter(folder.name, folder)
    return generator


def greedy(prompts: list[tuple[int, ...]], names: list[str | None], **others: Any) -> list[Request]:
    params = SamplingParams(temperature=0, max_tokens=NUM_TOKENS, **others)
    return [
        Request(prompt=prompt, adapter=names[number % len(names)], params=params)
        for number, prompt in enumerate(prompts)
    ]


@pytest.mark.parametrize(
    "settings",
    [{}, {"max_rows": 7, "chunk_len": 5, "token_budget": 16}, {"memory_bytes": 2**23}],
    ids=["at ease", "chunked", "swapped"],
)
def test_tokens_are_those_of_transformers_and_peft(
    prompts: list[tuple[int, ...]], adapters: list[Path], settings: dict[str, int]
) -> None:
    requests = greedy(prompts, [None, *(folder.name for folder in adapters)])
    generator = on_gpu(adapters, **settings)
    outputs = answered(generator, requests)
    reference = Reference(base_model().to("cuda"), adapters, device="cuda")
    same = total = 0
    for request, output in zip(requests, outputs, strict=True):
        agreed = reference.agreement(request.prompt, output.token_ids, request.adapter)
        same, total = same + sum(agreed), total + len(agreed)
    print(f"{same} of {total} tokens are the likeliest in fp32; {generator.engine.counters()}")
    assert (generator.engine.counters().num_preemptions > 0) == ("memory_bytes" in settings)
    assert same >= 0.99 * total


def test_rows_of_the_base_model_keep_their_bits(prompts: list[tuple[int, ...]], adapters: list[Path]) -> None:
    """Beside rows with adapters they are what they are in an engine that has none."""
    some = prompts[:32]
    mixed = greedy(some, [None, *(folder.name for folder in adapters)], ignore_eos=True, logprobs=3)
    alone = greedy(some, [None], ignore_eos=True, logprobs=3)
    beside, without = answered(on_gpu(adapters), mixed), answered(on_gpu([]), alone)
    for request, one, other in zip(mixed, beside, without, strict=True):
        if request.adapter is None:
            assert (one.token_ids, one.logprobs) == (other.token_ids, other.logprobs)


def test_graphs_have_the_bits_of_steps_without(prompts: list[tuple[int, ...]], adapters: list[Path]) -> None:
    """In the same shapes, on both sides of a block's end, with chunks and without, with adapters and without."""
    for names in ([None], [None, *(folder.name for folder in adapters)]):
        requests = greedy(prompts[:48], names, ignore_eos=True, logprobs=3)
        graphs, eager = (on_gpu(adapters, max_rows=32) for _ in range(2))
        assert isinstance(eager.engine._runner, DeviceRunner)
        assert eager.engine._runner._graphs is not None
        # Then steps run in the same shapes, kernel by kernel.
        eager.engine._runner._graphs._graphs.clear()
        assert answered(graphs, requests) == answered(eager, requests)


def compiled() -> dict[str, int]:
    """Return how many variants of each kernel are compiled."""
    modules = [module for name, module in [*sys.modules.items()] if name.startswith("verilora.kernels.")]
    kernels = {
        id(found): found for module in modules for found in vars(module).values() if isinstance(found, JITFunction)
    }
    counts = {
        kernel.__name__: sum(len(caches[0]) for caches in kernel.device_caches.values()) for kernel in kernels.values()
    }
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize("settings", [{"max_loaded": 3}, {"memory_bytes": 2**22}], ids=["loads", "swaps"])
def test_nothing_is_compiled_after_the_start(
    prompts: list[tuple[int, ...]], adapters: list[Path], settings: dict[str, int]
) -> None:
    """Whatever is asked in whatever number, adapters of all ranks and steps that no graph holds included."""
    generator = on_gpu(adapters, **{"max_rows": 40, "memory_bytes": 2**25, "caches_prefixes": False, **settings})
    before = compiled()
    assert before["attention_decode_kernel"]
    names = [None, *(folder.name for folder in adapters)]
    kinds = [
        SamplingParams(temperature=0, max_tokens=70, logprobs=1),
        SamplingParams(max_tokens=45, top_k=7, top_p=0.9, logprobs=16, prompt_logprobs=True),
        SamplingParams(max_tokens=61, repetition_penalty=1.2, presence_penalty=0.1, logit_bias={3: 1.0}),
        SamplingParams(max_tokens=37, min_p=0.1, banned_ids=frozenset({5}), min_tokens=3, logprobs=3),
    ]
    for number in (1, 2, 3, 17, 64):
        requests = [
            Request(prompt=prompt[number % 3 :] * (1 + k % 2), adapter=names[k % len(names)], params=kinds[k % 4])
            for k, prompt in enumerate(prompts[:number])
        ]
        answered(generator, requests)
    counters = generator.engine.counters()
    assert (counters.num_preemptions if "memory_bytes" in settings else counters.adapter_loads) > 0
    assert compiled() == before


@pytest.mark.parametrize("is_sampled", [False, True], ids=["greedy", "sampled"])
def test_deterministic_rows_have_the_same_bits_whatever_happens_beside_them(
    prompts: list[tuple[int, ...]], adapters: list[Path], is_sampled: bool
) -> None:
    """Alone, in batches of any size, as steps without graphs, without overlap, in pieces, swapped and resumed."""
    params = SamplingParams(temperature=0.9 if is_sampled else 0, max_tokens=48, ignore_eos=True, logprobs=2)
    names = [None, *(folder.name for folder in adapters)]
    requests = [
        Request(prompt=prompt, adapter=names[number % len(names)], params=replace(params, seed=number))
        for number, prompt in enumerate(prompts[:40])
    ]
    ways: list[dict[str, Any]] = [
        {},
        {"max_rows": 9},
        {"uses_graphs": False},
        {"overlaps_steps": False, "max_rows": 17},
        {"memory_bytes": 2**22, "caches_prefixes": False},
    ]
    found = []
    for way in ways:
        generator = on_gpu(adapters, is_deterministic=True, **way)
        found.append(answered(generator, requests))
        assert (generator.engine.counters().num_preemptions > 0) == ("memory_bytes" in way)
    generator = on_gpu(adapters, is_deterministic=True)
    found.append([answered(generator, [request])[0] for request in requests[:12]])
    for way, outputs in zip([*ways, {"alone": True}], found, strict=True):
        for one, other in zip(outputs, found[0], strict=False):
            assert (one.token_ids, one.logprobs) == (other.token_ids, other.logprobs), way


def test_loads_go_on_beside_steps(prompts: list[tuple[int, ...]], adapters: list[Path]) -> None:
    """Adapters take turns in memory for two of them, and each request is answered with its own."""
    generator = on_gpu(adapters, max_loaded=2, max_rows=8, host_bytes=2**22)
    requests = greedy(prompts[:64], [None, *(folder.name for folder in adapters)])
    outputs = answered(generator, requests)
    reference = Reference(base_model().to("cuda"), adapters, device="cuda")
    agreed = [
        same
        for request, output in zip(requests, outputs, strict=True)
        for same in reference.agreement(request.prompt, output.token_ids, request.adapter)
    ]
    counters = generator.engine.counters()
    assert counters.adapter_loads > 20
    assert sum(agreed) >= 0.99 * len(agreed) > 1000


def test_replays_between_loads_updates_and_cancels(prompts: list[tuple[int, ...]], adapters: list[Path]) -> None:
    """Tokens stay those of each request's own adapter while names change their content under running ones."""
    generator = on_gpu(adapters[:4], max_loaded=3, max_rows=24)
    engine, heard = generator.engine, {}
    requests = greedy(prompts[:96], [None, *(folder.name for folder in adapters[:4])])
    stands_for = {folder.name: folder.name for folder in adapters[:4]}
    asked = []
    for number, request in enumerate(requests):

        def hear(sequence: Any, number: int = number) -> None:
            if sequence.finish is not None:
                heard[number] = sequence.output()

        asked.append((engine.submit(request, hear)[0], stands_for.get(request.adapter or "")))
        if number % 12 == 7:
            changed, content = adapters[number % 4], adapters[4 + number % 4]
            engine.add_adapter(changed.name, content)
            stands_for[changed.name] = content.name
        if number % 9 == 5:
            engine.cancel(asked[number - 3][0])
        engine.step()
    while engine.step():
        pass
    engine.pool.check()
    reference = Reference(base_model().to("cuda"), adapters, device="cuda")
    agreed = [
        same
        for number, (_, adapter) in enumerate(asked)
        for same in reference.agreement(requests[number].prompt, heard[number].token_ids, adapter)
    ]
    assert sum(agreed) >= 0.99 * len(agreed) > 1000


def test_sampled_tokens_are_the_same_again(prompts: list[tuple[int, ...]], adapters: list[Path]) -> None:
    params = SamplingParams(temperature=0.9, top_p=0.95, max_tokens=NUM_TOKENS, seed=3)
    requests = [Request(prompt=prompt, adapter=adapters[0].name, params=params) for prompt in prompts]
    first, again = (answered(on_gpu(adapters), requests) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("head_dim", [64, 80, 96, 100, 120, 128, 256])
@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2", "qwen3"])
def test_logits_of_every_architecture_and_head_size(model_type: str, head_dim: int) -> None:
    """In bf16 on paged kernels, beside transformers in fp32: no further off than transformers in bf16 is."""
    settings = {"mistral": {"sliding_window": 24}, "qwen2": {"use_sliding_window": True, "sliding_window": 24}}
    model = random_model(model_type, head_dim=head_dim, hidden_size=64, **settings.get(model_type, {})).to("cuda")
    prompts = random_prompts(5, seed=head_dim, longest=90)
    params = SamplingParams(temperature=0, max_tokens=12, logprobs=0)
    exact = Reference(model, device="cuda")
    halved = Reference(random_model(model_type, head_dim=head_dim, hidden_size=64, **settings.get(model_type, {}))
                       .to("cuda", torch.bfloat16), device="cuda")  # fmt: skip
    engine = engine_of(copy.deepcopy(model).to(torch.bfloat16), is_paged=True, device="cuda", chunk_len=33)
    for prompt, (output,) in zip(
        prompts, engine.generate([Request(prompt=one, params=params) for one in prompts]), strict=True
    ):
        assert not output.error
        assert output.logprobs is not None
        found = torch.tensor([one.logprob for one in output.logprobs])
        true, rounded = (reference.logprobs(prompt, output.token_ids).cpu() for reference in (exact, halved))
        assert (found - true).abs().mean() < 2 * (rounded - true).abs().mean() + 1e-3
