"""Digests of an adapter's files: what is one of them, and what cannot be."""

import os
from pathlib import Path

import pytest

from verilora.specs.files.errors import InputError
from verilora.verify.records.digests import adapter_digests


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    (folder / "inner").mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors", "inner/more.bin", "certificate.json"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_each_file_has_one_but_for_the_certificate(adapter: Path) -> None:
    assert list(adapter_digests(adapter)) == ["adapter_config.json", "adapter_model.safetensors", "inner/more.bin"]


def test_a_readme_is_for_people(adapter: Path) -> None:
    before = adapter_digests(adapter)
    (adapter / "README.md").write_text("# An adapter")
    assert adapter_digests(adapter) == before
    (adapter / "inner" / "README.md").write_text("not beside the adapter")
    assert "inner/README.md" in adapter_digests(adapter)


@pytest.mark.parametrize("name", ["extra.bin", "README.md", "certificate.json", "inner/more"])
@pytest.mark.parametrize("is_folder", [True, False])
def test_links_are_refused_by_name(adapter: Path, tmp_path: Path, name: str, is_folder: bool) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "weights.safetensors").write_bytes(b"")
    (adapter / name).unlink(missing_ok=True)
    (adapter / name).symlink_to(elsewhere if is_folder else elsewhere / "weights.safetensors")
    with pytest.raises(InputError, match=rf"{name}: is a link"):
        adapter_digests(adapter)


def test_the_folder_itself_may_be_linked(adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(adapter)
    assert adapter_digests(tmp_path / "link") == adapter_digests(adapter)


def test_what_is_no_plain_file_is_refused(adapter: Path) -> None:
    os.mkfifo(adapter / "pipe")
    with pytest.raises(InputError, match="pipe: is neither a file nor a folder"):
        adapter_digests(adapter)


def test_a_folder_that_cannot_be_read_hides_nothing(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        adapter_digests(adapter)
