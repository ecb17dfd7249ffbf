from pathlib import Path

import pytest

from verilora.serving.load.workload.trace import TraceRow, read_trace
from verilora.specs.files.errors import InputError


def row(timestamp: float, input_length: int = 3, output_length: int = 4, model: str | None = None) -> TraceRow:
    return TraceRow(timestamp=timestamp, input_length=input_length, output_length=output_length, model=model)


def test_rows_come_in_the_order_of_their_times(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(
        '{"timestamp": 20, "input_length": 3, "output_length": 4, "model": "a\u2028b"}\n\n'
        '{"timestamp": 10.5, "input_length": 3, "output_length": 4, "hash_ids": [1, 2]}'
    )
    assert read_trace(path) == [row(10.5), row(20, model="a\u2028b")]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "trace.jsonl: got no line"),
        ("\n\n", "trace.jsonl: got no line"),
        ('{"timestamp": 1, "input_length": 3}', "trace.jsonl:1: output_length: is missing"),
        ('\n{"timestamp": -1, "input_length": 3, "output_length": 3}', "trace.jsonl:2: timestamp: "),
        ('{"timestamp": 1e999, "input_length": 3, "output_length": 3}', "trace.jsonl:1: timestamp: "),
        ('{"timestamp": 1, "input_length": 0, "output_length": 3}', "trace.jsonl:1: input_length: "),
        ('{"timestamp": 1, "input_length": 3, "output_length": 3, "output_length": 3}', "stands twice"),
        ("[]", "trace.jsonl:1: expected a JSON object"),
        ("{", "trace.jsonl:1: not JSON"),
    ],
)
def test_what_is_no_trace(text: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        read_trace(path)
    assert place in str(raised.value)
