"""A record is one line, whatever it says."""

import json
import logging

from verilora.specs.processes.json_log import JsonFormatter


def test_a_line_is_json_with_the_fields_of_its_record() -> None:
    record = logging.makeLogRecord(
        {"name": "x", "levelname": "INFO", "msg": "a\n%s", "args": ("b",), "fields": {"n": 1}}
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert {"message": "a\nb", "n": 1, "level": "info"}.items() <= json.loads(line).items()
