from pathlib import Path

import pytest

from verilora.finetune.training.checkpoints import NEEDED, last_checkpoint


def write(folder: Path, step: int, missing: str = "", empty: str = "") -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    for name in NEEDED:
        if name != missing:
            (checkpoint / name).write_text("" if name == empty else "content")
    return checkpoint


def test_the_last_one_is_used(tmp_path: Path) -> None:
    for step in (9, 100, 20):
        write(tmp_path, step)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-100"


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_an_incomplete_one_is_left_out_with_a_line(
    tmp_path: Path, name: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write(tmp_path, 10)
    bad = write(tmp_path, 20, **{how: name})
    assert last_checkpoint(tmp_path) == good
    assert f"{bad} is incomplete (no {name})" in capsys.readouterr().out
    assert not bad.exists()


def test_none_is_none(tmp_path: Path) -> None:
    write(tmp_path, 10, missing="optimizer.pt")
    (tmp_path / "unfinished").mkdir()
    assert last_checkpoint(tmp_path) is None
    assert last_checkpoint(tmp_path / "nothing") is None
