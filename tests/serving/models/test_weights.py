import pytest
import torch
from decoders import decoder_of, tiny_architecture, tiny_model

from verilora.serving.models.weights import weights_of


def test_projections_stand_side_by_side() -> None:
    model = tiny_model("qwen2")
    weights = decoder_of(model).weights
    for layer, known in zip(weights.layers, model.model.layers, strict=True):
        attention, mlp = known.self_attn, known.mlp
        qkv = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
        assert torch.equal(layer.qkv.in_files, qkv)
        biases = torch.cat([attention.q_proj.bias, attention.k_proj.bias, attention.v_proj.bias])
        assert layer.qkv.bias is not None
        assert torch.equal(layer.qkv.bias, biases)
        assert torch.equal(layer.gate_up.in_files, torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]))
        assert torch.equal(layer.o.in_files, attention.o_proj.weight)
        assert torch.equal(layer.down.in_files, mlp.down_proj.weight)
        assert torch.equal(layer.input_norm, known.input_layernorm.weight)
        assert torch.equal(layer.mlp_norm, known.post_attention_layernorm.weight)
        assert layer.o.bias is layer.gate_up.bias is layer.down.bias is layer.query_norm is layer.key_norm is None
    assert torch.equal(weights.norm, model.model.norm.weight)
    assert torch.equal(weights.embedding, model.model.embed_tokens.weight)


def test_where_one_projection_has_a_bias_the_others_have_zeros() -> None:
    model = tiny_model("llama")
    bias = torch.arange(16.0)
    model.model.layers[0].self_attn.v_proj.bias = torch.nn.Parameter(bias)
    architecture = tiny_architecture()
    first, second = weights_of(model, architecture, torch.device("cpu")).layers
    assert first.qkv.bias is not None
    assert first.qkv.bias.tolist() == [0.0] * 48 + bias.tolist()
    assert second.qkv.bias is None


@pytest.mark.parametrize("tied", [True, False])
def test_the_output_layer_is_the_embedding_or_its_own(tied: bool) -> None:
    model = tiny_model("llama", tie_word_embeddings=tied)
    weights = decoder_of(model).weights
    assert torch.equal(weights.head.in_files, model.lm_head.weight)
    assert torch.equal(weights.head.in_files, weights.embedding) == tied


def test_norms_of_heads_are_qwen3s() -> None:
    model = tiny_model("qwen3")
    layer = decoder_of(model).weights.layers[1]
    attention = model.model.layers[1].self_attn
    assert layer.query_norm is not None
    assert layer.key_norm is not None
    assert torch.equal(layer.query_norm, attention.q_norm.weight)
    assert torch.equal(layer.key_norm, attention.k_norm.weight)


def test_training_goes_on_beside_the_engine() -> None:
    """What is served does not follow the model's weights, but for those that are no copies: those of norms."""
    model = tiny_model("llama")
    weights = decoder_of(model).weights
    before = weights.layers[0].qkv.weight.clone()
    with torch.no_grad():
        model.model.layers[0].self_attn.q_proj.weight += 1
    assert torch.equal(weights.layers[0].qkv.weight, before)
    assert not weights.embedding.requires_grad
