import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from verilora.specs.files.errors import InputError
from verilora.synth.gguf.header import read_header

from tiny_gguf import save_gguf


@pytest.fixture
def model(tmp_path: Path, chat_model: Path) -> Path:
    return save_gguf(tmp_path / "model.gguf", chat_model, more={"odd": torch.arange(12.0).view(3, 4)})


def test_it_says_what_the_package_of_the_format_says(model: Path) -> None:
    ours, theirs = read_header(model), gguf.GGUFReader(model)
    fields = {name: field for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert ours.metadata.keys() == fields.keys()
    for name, field in fields.items():
        value, expected = ours.metadata[name], field.contents()
        assert (list(value) if isinstance(value, tuple) else value) == expected, name
    content = model.read_bytes()
    assert ours.tensors.keys() == {tensor.name for tensor in theirs.tensors}
    for tensor in theirs.tensors:
        found = ours.tensors[tensor.name]
        assert found.shape == tuple(reversed(tensor.shape.tolist()))
        assert content[found.start : found.start + found.num_bytes] == np.ascontiguousarray(tensor.data).tobytes()


def test_every_type_of_value(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "some.gguf", "llama")
    values = {"int8": -3, "uint16": 60_000, "int16": -300, "uint64": 2**40, "int64": -(2**40), "float64": 1e-300}
    for kind, value in values.items():
        getattr(writer, f"add_{kind}")(kind, value)
    writer.add_bool("bool", True)
    writer.add_array("nested", [[1, 2], [3]])
    writer.add_array("words", ["one", "ä"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = read_header(tmp_path / "some.gguf").metadata
    expected = {**values, "bool": True, "nested": ((1, 2), (3,)), "words": ("one", "ä")}
    assert found == {"general.architecture": "llama", **expected}


def test_every_cut_is_seen(model: Path) -> None:
    content = model.read_bytes()
    begin = min(tensor.start for tensor in read_header(model).tensors.values())
    last = max(tensor.start + tensor.num_bytes for tensor in read_header(model).tensors.values())
    for size in (*range(4, begin, 97), begin, last - 1):
        model.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"model.gguf: .*is cut: got \d+ bytes, expected at least \d+"):
            read_header(model)
    model.write_bytes(content[:last])
    read_header(model)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", r"got a file that begins with b'', expected a model's folder or a GGUF file"),
        (lambda content: b"PK\3\4" + content[4:], r"begins with b'PK\\x03\\x04', expected a model's folder or a GGUF"),
        (lambda content: content[:4] + struct.pack("<I", 1) + content[8:], "got version 1 of GGUF, expected 2 or 3"),
        (lambda content: content[:4] + struct.pack(">I", 3) + content[8:], "got version 50331648 of GGUF.*little-end"),
        (lambda content: content.replace(b"odd", b"\xff\xff\xff"), "got bytes that are no UTF-8 at byte"),
        (lambda content: content[:8] + b"\xff" * 8 + content[16:], "model.gguf: "),
        (lambda content: content[:16] + b"\xff" * 8 + content[24:], "model.gguf: "),
    ],
    ids=["empty", "another kind", "version 1", "big-endian", "no UTF-8", "too many tensors", "too many entries"],
)
def test_what_is_no_such_file(model: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    model.write_bytes(damage(model.read_bytes()))
    with pytest.raises(InputError, match=message):
        read_header(model)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing: cannot be read: No such file"):
        read_header(tmp_path / "missing")


def test_the_tokenizers_digest_is_that_of_the_tokenizer(tmp_path: Path, chat_model: Path) -> None:
    digest = read_header(save_gguf(tmp_path / "one.gguf", chat_model)).tokenizer_digest
    other = {"general.name": "other", "llama.context_length": 64}
    assert read_header(save_gguf(tmp_path / "two.gguf", chat_model, changes=other)).tokenizer_digest == digest
    ends = {"tokenizer.ggml.eos_token_id": 2}
    assert read_header(save_gguf(tmp_path / "three.gguf", chat_model, changes=ends)).tokenizer_digest != digest
    template = ["tokenizer.chat_template"]
    assert read_header(save_gguf(tmp_path / "four.gguf", chat_model, without=template)).tokenizer_digest != digest
