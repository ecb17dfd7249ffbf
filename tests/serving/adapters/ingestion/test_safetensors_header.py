import io
import json
import pickle
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

from verilora.serving.adapters.ingestion.safetensors_header import MAX_HEADER, read_header
from verilora.specs.files.errors import InputError

WHERE = Path("adapter_model.safetensors")
TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


def header_of(content: bytes) -> Any:
    return read_header(io.BytesIO(content), WHERE, len(content))


def file_of(header: object, num_bytes: int = 0) -> bytes:
    written = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + bytes(num_bytes)


def tensor(start: int, end: int, shape: object = None, dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": [(end - start) // 4] if shape is None else shape, "data_offsets": [start, end]}


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(sorted(TYPES)), st.lists(st.integers(0, 4), max_size=3)),
        max_size=5,
    )
)
def test_what_the_library_writes_is_read_as_the_library_reads_it(
    tmp_path_factory: pytest.TempPathFactory, said: dict[str, tuple[str, list[int]]]
) -> None:
    arrays = {
        name: np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(TYPES[dtype])
        for name, (dtype, shape) in said.items()
    }
    content = save(arrays, {"format": "pt"})
    found = header_of(content)
    path = tmp_path_factory.mktemp("library") / "file"
    path.write_bytes(content)
    with safe_open(path, "np") as file:
        assert found.keys() == {*file.keys()}
    for name, array in arrays.items():
        assert content[found[name].start : found[name].end] == array.tobytes()
        assert (found[name].dtype, found[name].shape) == (said[name][0], array.shape)


HUGE = 2**62
SAFETENSORS_668: dict[str, tuple[bytes, str]] = {
    "a header of 2**63 bytes": (struct.pack("<Q", 2**63) + b"{}", "its header has 9223372036854775808 bytes"),
    "a header of 2**64 - 1 bytes": (struct.pack("<Q", 2**64 - 1) + b"{}", "its header has 18446744073709551615"),
    "a header longer than its file": (struct.pack("<Q", 3) + b"{}", "its header has 3 bytes"),
    "a header that is too long": (file_of(b" " * (MAX_HEADER + 1)), f"at most {MAX_HEADER} are possible"),
    "no header": (b"1234567", "it has 7 bytes"),
    "overlap": (file_of({"a": tensor(0, 8), "b": tensor(4, 12)}, 12), "b: begins at byte .* lie side by side"),
    "the same bytes": (file_of({"a": tensor(0, 8), "b": tensor(0, 8)}, 8), "begins at byte .*lie side by side"),
    "a hole": (file_of({"a": tensor(0, 4), "b": tensor(8, 12)}, 12), "b: begins at byte .*lie side by side"),
    "a hole in front": (file_of({"a": tensor(4, 8)}, 8), "a: begins at byte .*lie side by side"),
    "bytes of nobody": (file_of({"a": tensor(0, 4)}, 8), "its tensors end at byte .*expected a whole"),
    "a short file": (file_of({"a": tensor(0, 8)}, 4), "its tensors end at byte .*expected a whole"),
    "short offsets": (file_of({"a": tensor(0, 4, [2])}, 8), "a: got data_offsets .*expected as many bytes"),
    "offsets the other way": (file_of({"a": tensor(8, 4, [1])}, 8), "a: got data_offsets"),
    "offsets below zero": (file_of({"a": tensor(-4, 0, [1])}, 0), "a: expected dtype, shape"),
    "one offset": (file_of({"a": {**tensor(0, 4), "data_offsets": [4]}}, 4), "a: got data_offsets"),
    "three offsets": (file_of({"a": {**tensor(0, 4), "data_offsets": [0, 2, 4]}}, 4), "a: expected dtype"),
    "a product beyond 64 bits": (file_of({"a": tensor(0, 0, [HUGE, HUGE, 0, 4])}, 0), ""),
    "a product that wraps to nothing": (file_of({"a": tensor(0, 0, [HUGE, 4])}, 0), "a: got data_offsets"),
    "digits": (file_of({"a": tensor(0, 0, [10**4_000])}, 0), "a: expected dtype"),
    "many dimensions": (file_of({"a": tensor(0, 4, [1] * 100)}, 4), "a: expected dtype"),
    "true for one": (file_of({"a": tensor(0, 4, [True])}, 4), "a: expected dtype"),
    "a broken number": (file_of({"a": tensor(0, 4, [1.0])}, 4), "a: expected dtype"),
    "no shape": (file_of({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, 4), "a: expected dtype"),
    "more than is known": (file_of({"a": {**tensor(0, 4), "strides": [1]}}, 4), "a: expected dtype"),
    "no tensor": (file_of({"a": 1}, 4), "a: expected dtype"),
    "an unknown type": (file_of({"a": tensor(0, 4, [4], "F4")}, 4), "a: got numbers of type F4"),
    "a list as a type": (file_of({"a": tensor(0, 4, [1], ["F32"])}, 4), "a: expected dtype"),
    "a name twice": (file_of(b'{"a": 1, "a": 2}', 4), "a: stands twice"),
    "a list as a header": (file_of([], 0), "expected a JSON object"),
    "nested deeply": (file_of(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nests too deeply"),
}


@pytest.mark.parametrize(("content", "message"), SAFETENSORS_668.values(), ids=SAFETENSORS_668)
def test_safetensors_668_a_header_that_lies(content: bytes, message: str) -> None:
    if not message:
        assert header_of(content)["a"].start == len(content), "it is empty, and true"
        return
    with pytest.raises(InputError, match=message):
        header_of(content)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("it was unpickled",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_tensorrt_llm_13391_pickle_in_place_of_safetensors(protocol: int) -> None:
    with pytest.raises(InputError, match="expected a whole safetensors file"):
        header_of(pickle.dumps(_Bomb(), protocol) + bytes(100))


def test_tensorrt_llm_13391_nothing_here_knows_pickle() -> None:
    root = Path(__file__).parents[4] / "serving"
    for path in sorted(root.rglob("*.py")):
        assert not [word for word in ("pickle", "torch.load", "marshal") if f"import {word}" in path.read_text()], path


@given(st.binary(max_size=60))
def test_whatever_the_bytes_are_they_are_read_or_refused(content: bytes) -> None:
    for start in (b"", struct.pack("<Q", max(0, len(content) - 8))):
        with suppress(InputError):
            assert sum(one.end - one.start for one in header_of(start + content).values()) <= len(content)
