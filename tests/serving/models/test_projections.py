import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoConfig

from verilora.serving.models.architecture import MODEL_TYPES, architecture_of
from verilora.serving.models.projections import projections_of
from verilora.synth.models.model_config import ModelConfig, parse_config
from verilora.synth.models.model_files import described

from engines import SMALL
from tiny_models import save_tiny_model, tiny_tokenizer

WHERE = Path("model")
LEFT_OUT: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "heads": ("head_dim",),
    "groups": ("num_key_value_heads",),
    "both": ("head_dim", "num_key_value_heads"),
}


@pytest.mark.parametrize("left_out", LEFT_OUT.values(), ids=LEFT_OUT)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_projections_are_those_that_the_decoder_has(model_type: str, left_out: tuple[str, ...]) -> None:
    said = {
        name: value
        for name, value in {**SMALL, "hidden_size": 128, "num_attention_heads": 32}.items()
        if name not in left_out
    }
    expected = architecture_of(AutoConfig.for_model(model_type, **said), WHERE).projections
    assert projections_of(parse_config({"model_type": model_type, **said}, ModelConfig, WHERE)) == expected


def test_projections_of_a_model_in_files(tmp_path: Path, texts: list[str]) -> None:
    folder = save_tiny_model(tmp_path, tiny_tokenizer(texts))
    found = projections_of(described(folder))
    assert (found.num_layers, found.widths["k"], found.widths["down"]) == (2, (32, 16), (64, 32))


def test_the_rules_of_an_adapter_need_no_torch() -> None:
    code = (
        "import sys, verilora.serving.models.projections, verilora.serving.memory.served_tensors;"
        "sys.exit(' '.join({'torch', 'peft', 'transformers'} & {*sys.modules}) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
