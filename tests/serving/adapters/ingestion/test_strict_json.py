import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verilora.serving.adapters.ingestion.strict_json import strict_object
from verilora.specs.files.errors import InputError

WHERE = Path("adapter_config.json")
ODD = {
    "a key twice": (b'{"r": 8, "r": 9}', "r: stands twice"),
    "a key twice, deep": (b'{"a": [{"r": 8, "r": 9}]}', "r: stands twice"),
    "half of a pair": (b'{"a": "\\ud800"}', "half of a surrogate pair"),
    "half of a pair as a key": (b'{"a": [{"\\udc00": 1}]}', "half of a surrogate pair"),
    "half of a pair in bytes": (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
    "another encoding": ('{"a": "é"}'.encode("latin-1"), "not UTF-8"),
    "nested deeply": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nests too deeply"),
    "nested deeply in objects": (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "nests too deeply"),
    "a list": (b"[]", "expected a JSON object, got list"),
    "nothing": (b"", "not JSON"),
    "digits": (b'{"a": ' + b"9" * 5_000 + b"}", "not JSON that can be read"),
    "a mark in front": (b"\xef\xbb\xbf{}", "not JSON"),
    "zeros": (bytes(100), "not JSON"),
    "more behind": (b"{} {}", "not JSON"),
}


@pytest.mark.parametrize(("content", "message"), ODD.values(), ids=ODD)
def test_odd_json_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        strict_object(content, WHERE)
    str(refused.value).encode()


@given(
    st.dictionaries(
        st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)
    )
)
def test_an_object_is_read_as_it_was_written(content: dict[str, object]) -> None:
    assert strict_object(json.dumps(content).encode(), WHERE) == content
