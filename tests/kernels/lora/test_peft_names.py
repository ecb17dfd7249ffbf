import pytest

from verilora.kernels.lora.peft_names import places_of

LAYER = "base_model.model.model.layers"


def test_both_halves_of_each_projection_are_found() -> None:
    names = [f"{LAYER}.1.mlp.up_proj.lora_{half}.weight" for half in "BA"]
    names += [f"{LAYER}.0.self_attn.q_proj.lora_{half}.weight" for half in "AB"]
    assert places_of(names) == {(0, "q"): (names[2], names[3]), (1, "up"): (names[1], names[0])}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([f"{LAYER}.01.mlp.up_proj.lora_A.weight"], "expected lora_A or lora_B of a decoder layer's projection"),
        ([f"{LAYER}.٣.mlp.up_proj.lora_A.weight"], "expected lora_A or lora_B"),
        ([f"{LAYER}.1.mlp.up_proj.lora_A.weight", "layers.1.mlp.up_proj.lora_B.weight"], "expected those of one"),
        ([f"{LAYER}.1.mlp.up_proj.lora_A.weight"], r"got \['A'\], expected A and B"),
    ],
    ids=["a zero in front", "digits of another script", "two adapters", "half a pair"],
)
def test_other_names_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        places_of(names)
