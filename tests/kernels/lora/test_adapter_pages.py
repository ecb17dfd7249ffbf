"""PEFT weights to pages and back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.kernels.lora.adapter_pages import layout_of, pack, read_peft, unpack
from verilora.kernels.lora.page_layout import AdapterLayout, PageLayout

from adapters import random_weights

WIDTHS = st.dictionaries(
    st.sampled_from(["q", "k", "v", "o", "gate", "up", "down"]),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    min_size=1,
)


@settings(max_examples=50)
@given(rank=st.integers(1, 40), num_layers=st.integers(1, 3), widths=WIDTHS, tile=st.sampled_from([16, 64, 256]))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=["bf16", "fp16", "fp32"])
def test_weights_come_back_bit_by_bit(
    dtype: torch.dtype, rank: int, num_layers: int, widths: dict[str, tuple[int, int]], tile: int
) -> None:
    pages = PageLayout(page_bytes=16384, tile_width=tile, dtype=dtype)
    layout = AdapterLayout(pages=pages, rank=rank, num_layers=num_layers, widths=widths)
    weights = random_weights(layout, torch.Generator().manual_seed(rank))
    packed = pack(layout, weights)
    assert packed.shape == (layout.num_pages, pages.page_bytes)
    found = unpack(layout, packed)
    assert found.keys() == weights.keys()
    for place, (down, up) in weights.items():
        assert torch.equal(found[place][0], down)
        assert torch.equal(found[place][1], up)
    assert layout_of(weights, pages, num_layers) == layout


def test_a_peft_adapter_comes_back_as_it_was() -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=8,
    )
    model = transformers.LlamaForCausalLM(config)
    lora = peft.LoraConfig(r=12, target_modules="all-linear", init_lora_weights=False)
    state = peft.get_peft_model_state_dict(peft.get_peft_model(model, lora))
    weights = read_peft(state)
    assert len(weights) == 14
    layout = layout_of(weights, PageLayout(page_bytes=16384, tile_width=32, dtype=torch.float32), 2)
    assert (layout.rank, layout.widths["k"], layout.widths["down"]) == (12, (64, 32), (96, 64))
    found = unpack(layout, pack(layout, weights))
    prefix = "base_model.model.model.layers.1.mlp.down_proj"
    assert torch.equal(found[1, "down"][0], state[f"{prefix}.lora_A.weight"])
    assert torch.equal(found[1, "down"][1], state[f"{prefix}.lora_B.weight"])


LAYER = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"base_model.model.lm_head.weight": torch.zeros(1)}, "adapter weight, got 'base_model.model.lm_head.weight'"),
        ({f"{LAYER}.lora_magnitude_vector": torch.zeros(1)}, "adapter weight, got"),
        ({f"{LAYER}.lora_A.weight": torch.zeros(1, 1)}, r"got \['A'\], expected A and B"),
        (
            {f"{LAYER}.lora_{half}.{name}.weight": torch.zeros(1, 1) for name in ("one", "two") for half in "AB"},
            rf"got '{LAYER}.lora_A.one.weight' and '{LAYER}.lora_A.two.weight', expected those of one adapter",
        ),
        (
            {f"{LAYER}.lora_A.one.weight": torch.zeros(1, 1), f"{LAYER}.lora_B.two.weight": torch.zeros(1, 1)},
            rf"got '{LAYER}.lora_A.one.weight' and '{LAYER}.lora_B.two.weight', expected those of one adapter",
        ),
        (
            {f"{LAYER[start:]}.lora_{half}.weight": torch.zeros(1, 1) for start, half in ((0, "A"), (17, "B"))},
            rf"got '{LAYER}.lora_A.weight' and 'model.layers.0.self_attn.q_proj.lora_B.weight', expected those of one",
        ),
        (
            {f"{start}{LAYER}.lora_A.weight": torch.zeros(1, 1) for start in ("", "vision.")},
            f"got 'vision.{LAYER}.lora_A.weight'",
        ),
        ({f"{LAYER.replace('.0.', '.00.')}.lora_A.weight": torch.zeros(1, 1)}, r"got .*layers\.00\."),
        ({f"{LAYER.replace('.0.', '.٣.')}.lora_A.weight": torch.zeros(1, 1)}, "adapter weight, got"),
        ({f"{LAYER.replace('self_attn', 'mlp')}.lora_A.weight": torch.zeros(1, 1)}, r"got .*mlp\.q_proj"),
        ({f"{LAYER.replace('q_proj', 'qkv_proj')}.lora_A.weight": torch.zeros(1, 1)}, r"got .*qkv_proj"),
        ({f"{LAYER}.lora_A.weight\n": torch.zeros(1, 1)}, "adapter weight, got"),
        ({f"{LAYER}.lora_A.one.two.weight": torch.zeros(1, 1)}, "adapter weight, got"),
    ],
    ids=[
        "lm_head",
        "DoRA",
        "half",
        "two adapters",
        "halves of two",
        "two prefixes",
        "two towers",
        "a zero too many",
        "other digits",
        "another module",
        "another projection",
        "a line end",
        "two names",
    ],
)
def test_other_weights_are_refused(state: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_peft(state)


def test_weights_of_other_shapes_are_refused() -> None:
    layout = AdapterLayout(pages=PageLayout(page_bytes=16384), rank=2, num_layers=1, widths={"q": (8, 4)})
    with pytest.raises(ValueError, match=r"layer 0 q, got \(2, 8\) and \(2, 4\)"):
        pack(layout, {(0, "q"): (torch.zeros(2, 8), torch.zeros(2, 4))})
    mixed = {(0, "q"): (torch.zeros(2, 8), torch.zeros(4, 2)), (1, "q"): (torch.zeros(3, 8), torch.zeros(4, 3))}
    with pytest.raises(ValueError, match=r"ranks \[2, 3\]"):
        layout_of(mixed, layout.pages, 2)
