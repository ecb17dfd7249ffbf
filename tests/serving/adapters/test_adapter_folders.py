from pathlib import Path

from verilora.serving.adapters.adapter_folders import forget_unfinished, prepare
from verilora.serving.adapters.ingestion.ingest import UNFINISHED

USED, UNUSED = "a" * 64, "b" * 64


def test_what_nobody_uses_and_what_a_kill_left_is_removed_and_nothing_of_others(tmp_path: Path) -> None:
    store = tmp_path / "store"
    prepare(store, ())
    for name in (USED, UNUSED, f"{UNFINISHED}/one", "mine", "A" * 64, "a" * 63):
        (store / name).mkdir(parents=True)
        (store / name / "file").touch(0o400)
    prepare(store, {USED})
    assert {path.name for path in store.iterdir()} == {USED, "mine", "A" * 64, "a" * 63}
    assert (store / USED / "file").exists()


def test_one_that_was_killed_leaves_others_alone(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / UNFINISHED / name).mkdir(parents=True)
    forget_unfinished(tmp_path, "one")
    forget_unfinished(tmp_path, "three")
    assert [path.name for path in (tmp_path / UNFINISHED).iterdir()] == ["two"]
