from pathlib import Path

import pytest

from verilora.specs.files.errors import InputError
from verilora.specs.files.lock import held

from lock_holder import another_process_holds


@pytest.mark.parametrize("is_folder", [True, False], ids=["folder", "file"])
def test_who_holds_it_is_named_and_a_kill_frees_it(tmp_path: Path, is_folder: bool) -> None:
    path = tmp_path / "run"
    if is_folder:
        path.mkdir()
    with another_process_holds(path) as process:
        named = rf"run: is written to by process {process.pid} on \S+ since \d{{4}}-"
        with pytest.raises(InputError, match=named), held(path):
            pass
    with held(path):
        pass


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/run: cannot be written: "), held(tmp_path / "file" / "run"):
        pass
