from pathlib import Path
from typing import Any

import pytest
import torch
from decoders import VOCAB_SIZE, decoder_of, logits_of, tiny_model
from transformers import AutoModelForCausalLM

from verilora.serving.engine.engine import Engine
from verilora.serving.kv.contiguous import ContiguousCache
from verilora.serving.kv.contiguous_attention import Chunk, ContiguousAttention
from verilora.serving.requests.request import Request
from verilora.serving.requests.sampling_params import SamplingParams

from engines import engine_of, random_model

TOKENS = torch.randint(VOCAB_SIZE, (71,), generator=torch.Generator().manual_seed(0)).tolist()
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
QWEN2_WINDOWS = {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1, "num_hidden_layers": 3}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("llama", {}),
    "Llama, tied": ("llama", {"tie_word_embeddings": True}),
    "Llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "Llama 3": ("llama", {"rope_parameters": LLAMA3}),
    "a head of keys each": ("llama", {"num_key_value_heads": 2}),
    "six heads in groups": ("llama", {"hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 2}),
    "linear": ("llama", {"rope_parameters": LINEAR}),
    "YaRN": ("llama", {"rope_parameters": YARN}),
    "YaRN of Qwen3": ("qwen3", {"rope_parameters": {**YARN, "beta_fast": 16.0, "beta_slow": 2.0}}),
    "YaRN with a factor": ("qwen2", {"rope_parameters": {**YARN, "attention_factor": 1.7}}),
    "Mistral": ("mistral", {"sliding_window": None}),
    "Mistral with a window": ("mistral", {"sliding_window": 13}),
    "a window over a block": ("mistral", {"sliding_window": 33}),
    "a window of one": ("mistral", {"sliding_window": 1}),
    "Qwen2": ("qwen2", {}),
    "Qwen2 with windows": ("qwen2", QWEN2_WINDOWS),
    "Qwen3": ("qwen3", {}),
    "Qwen3 with biases": ("qwen3", {"attention_bias": True}),
    "Qwen3 with windows": ("qwen3", {**QWEN2_WINDOWS, "tie_word_embeddings": True}),
    **{f"heads of {size}": ("llama", {"head_dim": size}) for size in (64, 80, 96, 100, 120, 128, 256)},
    "heads of 80 with norms": ("qwen3", {"head_dim": 80}),
}


def expected_logits(model: Any, token_ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([token_ids])).logits[0]
    return logits


@pytest.mark.parametrize(("model_type", "changes"), CASES.values(), ids=CASES)
def test_the_logits_are_those_of_transformers(model_type: str, changes: dict[str, Any]) -> None:
    model = tiny_model(model_type, **changes)
    expected = expected_logits(model, TOKENS)
    assert expected.std() > 0.3, "so that the tolerance means something"
    got = logits_of(decoder_of(model), TOKENS, [20, 41])
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("part", ["windows", "rope_parameters"])
def test_windows_and_scalings_count(part: str) -> None:
    """What the cases above vary changes the logits, so they would fail without it."""
    changes = {"sliding_window": 13} if part == "windows" else {"rope_parameters": YARN}
    plain = {"sliding_window": None} if part == "windows" else {}
    found = [
        expected_logits(tiny_model("mistral", **kind), TOKENS) for kind in (changes, {"sliding_window": None, **plain})
    ]
    assert (found[0] - found[1]).abs().max() > 0.1


def test_from_files_in_shards(tmp_path: Path) -> None:
    model = tiny_model("qwen2")
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    loaded = decoder_of(AutoModelForCausalLM.from_pretrained(tmp_path))
    torch.testing.assert_close(logits_of(loaded, TOKENS, [64]), expected_logits(model, TOKENS), rtol=1e-4, atol=1e-4)


def test_a_step_of_many_sequences_gives_each_what_it_gets_alone() -> None:
    """Two that decode, of different lengths, and two chunks, one of a prompt that has begun."""
    model = tiny_model("mistral", sliding_window=13)
    decoder, cache = decoder_of(model), ContiguousCache(decoder_of(model).architecture)
    sequences = [TOKENS[:40], TOKENS[3:60], TOKENS[7:20], TOKENS[11:50]]
    for number, (tokens, num_read) in enumerate(zip(sequences, (39, 56, 0, 25), strict=True)):
        cache.open(number, len(tokens))
        if num_read:
            attention = ContiguousAttention(decoder.architecture, [], [Chunk(cache.prompt(number), 0, num_read)])
            decoder.forward(torch.tensor(tokens[:num_read]), torch.arange(num_read), attention, None)
    cache.join(0, 39)
    cache.join(1, 56)
    assert cache.advance([0, 1]) == [0, 1]
    chunks = [Chunk(cache.prompt(2), 0, 13), Chunk(cache.prompt(3), 25, 39)]
    attention = ContiguousAttention(decoder.architecture, cache.shelves(), chunks)
    rows = [*sequences[0][39:], *sequences[1][56:], *sequences[2], *sequences[3][25:]]
    positions = torch.tensor([39, 56, *range(13), *range(25, 39)])
    with torch.inference_mode():
        got = decoder.logits(decoder.forward(torch.tensor(rows), positions, attention, None))
    alone = [expected_logits(model, tokens) for tokens in sequences]
    expected = torch.cat([alone[0][39:], alone[1][56:], alone[2], alone[3][25:]])
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("asked", "context_len"), [(16, 16), (100_000, 256)])
def test_one_for_shorter_contexts_computes_the_same(asked: int, context_len: int) -> None:
    engine = engine_of(random_model())
    decoder = engine._decoder.shortened(asked)
    assert decoder.architecture.context_len == context_len
    shorter = Engine(decoder, engine.settings)
    request = Request(prompt=(1, 2, 3), params=SamplingParams(temperature=0, max_tokens=100))
    ((whole,),), ((found,),) = engine.generate([request]), shorter.generate([request])
    assert found.token_ids == whole.token_ids[: context_len - 3]
