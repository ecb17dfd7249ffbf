import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from verilora.serving.adapters.ingestion.rooted import opened_file, opened_folder
from verilora.serving.workers.job import Missing
from verilora.specs.files.errors import InputError

SECRET = "secret.json"
Game = Callable[[Path, Path], str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root with an adapter; a secret lies beside it."""
    (tmp_path / "root" / "team" / "adapter").mkdir(parents=True)
    (tmp_path / "root" / "team" / "adapter" / "file").write_text("own")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / SECRET).write_text("secret")
    return tmp_path / "root"


def read(path: str, name: str, *roots: Path) -> str:
    with opened_folder(path, roots) as folder:
        file = opened_file(folder, name)
        with os.fdopen(file) as opened:
            return opened.read()


def test_an_adapter_is_found_by_its_absolute_path_and_from_its_root(root: Path, tmp_path: Path) -> None:
    assert read(str(root / "team" / "adapter"), "file", root) == "own"
    assert read("team/adapter", "file", tmp_path / "outside", root) == "own"
    assert read("team//./adapter/", "file", root) == "own"
    (tmp_path / "link").symlink_to(root)
    assert read(str(root / "team/adapter"), "file", tmp_path / "link") == "own", "a root may be a link: we set it"
    assert read(str(tmp_path / "link/team/adapter"), "file", tmp_path / "link") == "own"


def linked(target: str) -> Game:
    def game(root: Path, outside: Path) -> str:
        (root / "link").symlink_to(target.format(outside=outside, root=root))
        return str(root / "link")

    return game


LORAX_798: dict[str, Game] = {
    "dots": lambda root, outside: str(root / ".." / "outside"),
    "dots behind a folder": lambda root, outside: f"{root}/team/../../outside",
    "dots from the root": lambda root, outside: "../outside",
    "dots alone": lambda root, outside: "..",
    "another absolute path": lambda root, outside: str(outside),
    "a root's name goes on": lambda root, outside: f"{root}side",
    "two slashes": lambda root, outside: f"/{outside}",
    "nothing": lambda root, outside: "",
    "a dot": lambda root, outside: ".",
    "the root itself": lambda root, outside: str(root),
    "a zero byte": lambda root, outside: f"{root}/team\0/../../outside",
    "an address": lambda root, outside: "https://example.org/adapter",
    "a file's address": lambda root, outside: f"file://{outside}",
    "a home": lambda root, outside: "~/adapter",
    "a variable": lambda root, outside: "$HOME/adapter",
    "percents": lambda root, outside: "%2e%2e/outside",
    "half of a surrogate pair": lambda root, outside: "\ud800",
    "a long name": lambda root, outside: "a" * 5_000,
    "a link to the outside": linked("{outside}"),
    "a link inside": linked("{root}/team/adapter"),
    "a link by dots": linked("../outside"),
    "a link to itself": linked("{root}/link"),
    "the folder of a process": linked("/proc/self/cwd"),
    "a file": lambda root, outside: f"{root}/team/adapter/file",
    "below a file": lambda root, outside: f"{root}/team/adapter/file/more",
}


@pytest.mark.parametrize("game", LORAX_798.values(), ids=LORAX_798)
def test_lorax_798_a_path_leaves_its_root(root: Path, game: Game) -> None:
    outside = root.parent / "outside"
    with pytest.raises(InputError) as refused, opened_folder(game(root, outside), [root]):
        pass
    assert str(root.parent) not in str(refused.value)


def test_lorax_798_a_link_on_the_way(root: Path) -> None:
    (root / "way").symlink_to(root / "team")
    with pytest.raises(InputError, match="is a link or no folder"), opened_folder("way/adapter", [root]):
        pass


def test_what_is_not_there_is_told_from_what_is_refused(root: Path) -> None:
    with pytest.raises(Missing, match="no adapter found"), opened_folder("team/other", [root, root]):
        pass
    with opened_folder("team/adapter", [root]) as folder, pytest.raises(Missing, match="the file is not there"):
        opened_file(folder, "other")


PARTS = st.sampled_from(["..", ".", "", "team", "adapter", "outside", "way", SECRET, "root", "/", "\0", "é"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(PARTS, max_size=8), is_absolute=st.booleans())
def test_no_path_reaches_what_lies_outside(root: Path, parts: list[str], is_absolute: bool) -> None:
    with suppress(FileExistsError):
        (root / "way").symlink_to(root.parent / "outside")
    with suppress(InputError):
        assert read("/".join([str(root)] * is_absolute + parts), SECRET, root) != "secret"


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


LORAX_479: dict[str, Callable[[Path], object]] = {
    "a link to a secret": lambda path: path.symlink_to(path.parents[3] / "outside" / SECRET),
    "a link to its neighbour": lambda path: path.symlink_to("file"),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a pipe": pipe,
    "a device": device,
    "a socket": listening,
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("make", LORAX_479.values(), ids=LORAX_479)
def test_lorax_479_another_file_is_read_in_place_of_the_adapters(root: Path, make: Callable[[Path], object]) -> None:
    try:
        make(root / "team" / "adapter" / "odd")
    except PermissionError:
        pytest.skip("making a device needs rights that this user lacks")
    with opened_folder("team/adapter", [root]) as folder, pytest.raises(InputError, match="odd: is a link or no reg"):
        opened_file(folder, "odd")


def test_a_hard_link_is_a_file_like_any(root: Path) -> None:
    (root / "team" / "adapter" / "hard").hardlink_to(root / "team" / "adapter" / "file")
    assert read("team/adapter", "hard", root) == "own"


def test_nothing_stays_open(root: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for path, name in (
        ("team/adapter", "file"),
        ("team/adapter", "other"),
        ("team/other", "file"),
        ("team", "adapter"),
    ):
        with suppress(InputError):
            read(f"team/{path}", name, root)
    assert os.listdir("/proc/self/fd") == before
