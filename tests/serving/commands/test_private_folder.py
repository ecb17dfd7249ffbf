import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from verilora.serving.commands.private_folder import private_folder, remove_leftovers

HOLDING = """
import sys, time
from verilora.serving.commands.private_folder import private_folder
with private_folder() as folder:
    (folder / "engine-0").write_text("")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_it_is_private_and_goes_at_the_end(tmp_path: Path) -> None:
    with private_folder() as folder:
        assert folder.parent == tmp_path
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "state").mkdir()
    assert [*tmp_path.iterdir()] == []


def test_what_a_killed_server_leaves_goes_with_the_next_and_a_running_ones_stays(tmp_path: Path) -> None:
    running, killed = (
        subprocess.Popen([sys.executable, "-c", HOLDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    try:
        assert running.stdout is not None
        assert killed.stdout is not None
        kept, left = (Path(process.stdout.readline().strip()) for process in (running, killed))  # type: ignore[union-attr]
        killed.kill()
        killed.wait()
        assert left.is_dir()
        with private_folder() as folder:
            assert {*tmp_path.iterdir()} == {kept, folder}
        assert (kept / "engine-0").exists()
    finally:
        running.communicate()
        killed.communicate()
    assert [*tmp_path.iterdir()] == []


def test_what_has_no_lock_or_is_no_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / ".lock").touch()
    (tmp_path / "verilora-foreign").mkdir()
    (tmp_path / "verilora-file").touch()
    (tmp_path / "verilora-link").symlink_to(tmp_path / "outside")
    remove_leftovers()
    assert sorted(os.listdir(tmp_path)) == ["outside", "verilora-file", "verilora-foreign", "verilora-link"]
    assert (tmp_path / "outside" / ".lock").exists()
