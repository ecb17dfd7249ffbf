"""Files that nest: whoever reads them says so, and nobody runs out of Python's stack."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from verilora.envs.recording import read_recording
from verilora.finetune.run.config_file import read_settings
from verilora.specs.domain import SHIPPED
from verilora.specs.files.errors import InputError
from verilora.specs.files.record import read_record
from verilora.specs.files.record_file import RecordFile
from verilora.specs.files.yaml_file import read_yaml
from verilora.specs.learned_world import read_learned_world
from verilora.synth.models.model_config import AdapterConfig, ModelConfig, read_config
from verilora.verify.certificates.certificate import read_certificate
from verilora.verify.records.evaluation import Evaluation
from verilora.verify.records.run_files import RunFiles
from verilora.verify.records.verdict import Verdict

from command_line import run_main

READERS: dict[str, Callable[[Path], object]] = {
    "config.json": lambda path: read_settings(RunFiles(path.parent)),
    "eval.json": lambda path: read_record(path, Evaluation),
    "certificate.json": lambda path: read_certificate(path.parent),
    "adapter_config.json": lambda path: read_config(path, AdapterConfig),
    "model.json": lambda path: read_config(path, ModelConfig),
    "verdicts.jsonl": lambda path: RecordFile(path, Verdict).read(),
    "recording.jsonl": read_recording,
    "world.json": lambda path: read_learned_world(path, {}),
    "rules.yaml": read_yaml,
}
each_reader = pytest.mark.parametrize("name", READERS)


@each_reader
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_file_that_only_opens_brackets(name: str, opening: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(opening * 100_000 + "\n" + opening + "\n")
    with pytest.raises(InputError, match="nests too deeply"):
        READERS[name](path)


@pytest.mark.parametrize("name", [name for name in READERS if not name.endswith("yaml")])
def test_what_nests_almost_too_deeply(name: str, tmp_path: Path) -> None:
    """Reading it, checking it and showing what is wrong take more of the stack one after the other."""
    path = tmp_path / name
    fields = (
        "r",
        "target_modules",
        "model_type",
        "rules",
        "world",
        "format",
        "provenance",
        "versions",
        "modules_to_save",
    )
    for depth in range(880, 1_000):
        nested = "[" * depth + "]" * depth
        path.write_text("{" + ", ".join(f'"{field}": {nested}' for field in fields) + "}\n{}\n")
        with suppress(InputError):
            READERS[name](path)


@pytest.mark.parametrize("depth", [10, 300, 800, 990, 100_000])
def test_a_world_whose_notes_nest(depth: int, tmp_path: Path) -> None:
    shipped = next((SHIPPED / "driving" / "worlds").glob("*.json"))
    content = json.loads(shipped.read_text())
    content["coverage"] = "HERE"
    path = tmp_path / shipped.name
    path.write_text(json.dumps(content).replace('"HERE"', '{"a": ' + "[" * depth + "]" * depth + "}"))
    with pytest.raises(InputError, match="nests too deeply" if depth > 10 else "but its content has"):
        read_learned_world(path, {})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("config.json", ("report", "RUN")),
        ("certificate.json", ("certify", "RUN")),
        ("config.json", ("synthesize", "--for", "right-at-traffic-light", "--model", "RUN")),
    ],
)
def test_the_command_names_the_file(name: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    for needed in {"eval.json", "training.jsonl", name}:
        (tmp_path / needed).write_text("[" * 100_000)
    code, out, err = run_main(*(str(tmp_path) if word == "RUN" else word for word in arguments))
    assert (code, out) == (2, "")
    assert f"{name}: not JSON that can be read: it nests too deeply" in err
