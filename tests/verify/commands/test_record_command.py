"""`verilora world record`."""

from dataclasses import replace
from pathlib import Path

import pytest

from verilora.envs import waiting
from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.specs.recorded_waits import read_recorded_waits, recorded_waits_path
from verilora.verify.commands import record_command
from verilora.verify.commands.record_command import record_waits


@pytest.fixture
def few(driving: Domain, monkeypatch: pytest.MonkeyPatch) -> Domain:
    """The domain with one world to record, and little of it."""
    monkeypatch.setattr(waiting, "NUM_WAITS", 2)
    monkeypatch.setattr(waiting, "SECONDS", 20)
    tasks = {name: task for name, task in driving.tasks.items() if task.world == "wide_median"}
    return replace(driving, tasks=tasks)


def test_one_command_records_the_same_bytes_twice(few: Domain, tmp_path: Path) -> None:
    for name in ("first", "again"):
        assert record_waits(few, tmp_path / name, 1) == 0
    first, again = (recorded_waits_path(tmp_path / name, "wide_median") for name in ("first", "again"))
    assert first.read_bytes() == again.read_bytes()
    found = read_recorded_waits(first, few.vocabulary)
    # Two sets, three lines: the first, and the median's on the way straight on and to the left.
    assert len(found.waits) == 2 * 3 * 2
    assert found.provenance["world"] == "wide_median"


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_driven(few: Domain, tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        record_waits(few, tmp_path, 1)


def test_an_interruption_keeps_what_was_there(few: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(record_command, "record_wait", interrupted)
    assert record_waits(few, tmp_path, 1) == 130
    assert not list((tmp_path / "recordings").iterdir())
