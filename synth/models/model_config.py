"""The JSON files that describe a model or an adapter, checked before a library reads them. Needs no torch."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...specs.files.errors import InputError
from ...specs.files.record import NESTS_TOO_DEEPLY, read_json
from .prompt import PromptStyle

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Token = int | None


# What PEFT can add to a LoRA adapter and a merge into the base model would not keep, or what needs more tensors.
UNSUPPORTED = {
    "modules_to_save": "replaces whole modules of the base model",
    "trainable_token_indices": "replaces rows of the base model's embeddings",
    "layer_replication": "repeats layers of the base model",
    "alora_invocation_tokens": "acts on some of the tokens only",
    "arrow_config": "chooses among several adapters",
}


class FileFields(BaseModel):
    """The fields of a JSON file that decide what is loaded; what else there is, the libraries read."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class ModelConfig(FileFields):
    """`config.json` of the supported architectures."""

    model_type: str
    vocab_size: Count = 1
    hidden_size: Count = 1
    intermediate_size: Count = 1
    num_hidden_layers: Count = 1
    num_attention_heads: Count = 1
    num_key_value_heads: Count | None = None
    head_dim: Count | None = None
    max_position_embeddings: Count = 1
    sliding_window: Count | None = None
    max_window_layers: int | None = None
    layer_types: list[str] | None = None
    rms_norm_eps: Annotated[float, Field(ge=0)] = 0
    initializer_range: float = 0
    attention_dropout: Share = 0
    rope_theta: Annotated[float, Field(gt=0)] | None = None
    rope_parameters: dict[str, Any] | None = None
    rope_scaling: dict[str, Any] | None = None
    hidden_act: str = ""
    attention_bias: bool = False
    mlp_bias: bool = False
    use_sliding_window: bool = False
    tie_word_embeddings: bool = False
    bos_token_id: Token | list[int] = None
    eos_token_id: Token | list[int] = None
    pad_token_id: Token = None
    prompt_style: Annotated[PromptStyle, Field(strict=False)] = PromptStyle.FULL
    quantization_config: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_not_quantized(self) -> "ModelConfig":
        if self.quantization_config is not None:
            method = self.quantization_config.get("quant_method", "quantised")
            raise ValueError(f"quantization_config: got {method!r}, expected weights that are not quantised")
        return self

    @model_validator(mode="after")
    def _heads_share_keys(self) -> "ModelConfig":
        heads, groups = self.num_attention_heads, self.num_key_value_heads
        if groups is not None and "num_attention_heads" in self.model_fields_set and heads % groups:
            raise ValueError(f"num_key_value_heads: got {groups}, expected a divisor of num_attention_heads {heads}")
        return self


class GenerationConfig(FileFields):
    """`generation_config.json`: where an answer ends."""

    eos_token_id: Token | list[int] = None


class WeightIndex(FileFields):
    """`model.safetensors.index.json`: which file holds which weights."""

    weight_map: dict[str, str]


class AdapterConfig(FileFields):
    """`adapter_config.json` of a LoRA adapter, as far as PEFT can merge it."""

    peft_type: Literal["LORA"]
    task_type: Literal["CAUSAL_LM"] | None = None
    r: Count = 8
    lora_alpha: float = 8
    lora_dropout: Share = 0
    target_modules: str | list[str] | None = None
    exclude_modules: str | list[str] | None = None
    target_parameters: list[str] | None = None
    layers_to_transform: int | list[int] | None = None
    layers_pattern: str | list[str] | None = None
    rank_pattern: dict[str, Count] | None = None
    alpha_pattern: dict[str, float] | None = None
    bias: Literal["none", "all", "lora_only"] = "none"
    use_dora: bool = False
    use_rslora: bool = False
    lora_bias: bool = False
    fan_in_fan_out: bool = False
    init_lora_weights: bool | str | None = True
    # What PEFT can load and the serving engine refuses.
    kasa_config: Any = None
    velora_config: Any = None
    monteclora_config: Any = None
    use_qalora: bool = False
    use_bdlora: Any = None

    @model_validator(mode="before")
    @classmethod
    def _what_is_merged(cls, value: Any) -> Any:
        for name, does in UNSUPPORTED.items():
            # PEFT writes null, false or an empty list for what is not used.
            if isinstance(value, dict) and value.get(name):
                message = f"is not supported, because it {does}: expected an adapter of lora_A and lora_B alone"
                raise ValueError(f"{name}: got {_short(value[name])}, which {message}")
        return value


ConfigT = TypeVar("ConfigT", bound=FileFields)


def read_config(path: Path, model: type[ConfigT]) -> ConfigT:
    """Return the fields of a JSON file; raises InputError with the field, what was found and what was expected."""
    return parse_config(read_object(path), model, path)


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; raises InputError."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(path, f"expected a JSON object, got {type(content).__name__}")
    return content


def parse_config(content: dict[str, Any], model: type[ConfigT], path: Path) -> ConfigT:
    """Return a JSON object as the fields of a file; raises InputError."""
    try:
        return model.model_validate(content)
    except RecursionError:
        raise InputError(path, NESTS_TOO_DEEPLY) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, _keys(first["loc"], content)))
        if first["type"] == "missing":
            field, message = str(first["loc"][-1]), "is missing"
        elif first["type"] == "value_error":
            # Names its field itself.
            message = first["msg"].removeprefix("Value error, ")
        else:
            wanted = [entry["msg"] for entry in error.errors() if entry["loc"][:1] == first["loc"][:1]]
            expected = " or ".join(dict.fromkeys(message.removeprefix("Input should be ") for message in wanted))
            message = f"got {_short(first['input'])}, expected {expected}"
        raise InputError(path, message, field=field) from None


def _keys(location: Iterable[int | str], content: Any) -> Iterable[int | str]:
    """Return what of a location stands in the file: without the marks that pydantic adds for alternatives."""
    for key in location:
        try:
            content = content[key]
        except (LookupError, TypeError):
            continue
        yield key


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
