import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key

from verilora.serving.memory.peft_patterns import expressions, is_named, key_of
from verilora.serving.memory.served_config import check_served
from verilora.specs.files.errors import InputError
from verilora.synth.models.model_config import AdapterConfig

MODULES = tuple(
    f"model.layers.{layer}.{part}.{name}_proj"
    for layer in (0, 1, 11)
    for part, names in (("self_attn", "qkvo"), ("mlp", ("gate", "up", "down")))
    for name in names
)
NAMES = st.sampled_from(
    ["q_proj", "proj", "", "self_attn.v_proj", "mlp", "layers.1.mlp.up_proj", *MODULES[:3], "0.mlp.down_proj", "é"]
)
PATTERNS = st.sampled_from(
    [
        r".*\.(q|up)_proj",
        "model.*",
        "",
        r".*layers\.1\..*",
        "q_proj",
        r"layers\.(0|11)\..*",
        r".*\d+.*_proj",
        "(k)_proj",
    ]
)
LAYERS = st.sampled_from(["layers", "", "model.layers", "blocks", "l.*", "[a-z]+"])
CONFIGS = st.fixed_dictionaries(
    {
        "target_modules": PATTERNS | st.lists(NAMES, max_size=3),
        "exclude_modules": st.none() | PATTERNS | st.lists(NAMES, max_size=2),
        "layers_to_transform": st.none() | st.integers(0, 12) | st.lists(st.integers(0, 12), max_size=3),
        "layers_pattern": st.none() | LAYERS | st.lists(LAYERS, max_size=2),
    }
)


@given(fields=CONFIGS, module=st.sampled_from(MODULES))
def test_modules_are_named_as_peft_has_it(fields: dict[str, Any], module: str) -> None:
    config = AdapterConfig(peft_type="LORA", **fields)
    assert is_named(config, module) == bool(check_target_module_exists(config, module))


@given(patterns=st.lists(PATTERNS | NAMES, max_size=4), module=st.sampled_from(MODULES))
def test_patterns_are_found_as_peft_has_it(patterns: list[str], module: str) -> None:
    found = get_pattern_key(patterns, module)
    assert key_of(patterns, module) == (found if found in patterns else None)


def test_every_expression_is_told_as_it_is_matched() -> None:
    config = AdapterConfig(
        peft_type="LORA",
        target_modules="a",
        exclude_modules="b",
        layers_pattern=["c"],
        rank_pattern={"d": 1},
        alpha_pattern={"e": 1},
    )
    told = {field: value for field, value, _ in expressions(config)}
    assert told == {
        "target_modules": "a",
        "exclude_modules": "b",
        "layers_pattern": "c",
        "rank_pattern": "d",
        "alpha_pattern": "e",
    }
    for _, value, expression in expressions(config):
        assert re.match(expression, f"x.{value}.1.") or expression in (value, rf"(.*\.)?({value})$")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rank_pattern", {"(?i)q_proj": 1}),
        ("layers_pattern", "(?P<idx>x)"),
        ("alpha_pattern", {"(": 2.0}),
    ],
)
def test_what_is_an_expression_only_alone_is_refused_by_its_field(field: str, value: Any) -> None:
    config = AdapterConfig(peft_type="LORA", **{field: value})
    with pytest.raises(InputError, match=rf"{field}: got .* expected a regular expression"):
        check_served(Path("adapter"), config)
