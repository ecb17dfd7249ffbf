"""A copy of a domain that a test breaks, and the error that its readers then raise."""

import re
import shutil
from pathlib import Path

import pytest

from verilora.specs.domain import Domain, load_domain
from verilora.specs.files.errors import InputError
from verilora.specs.rulebook import Rulebook


class DomainCopy:
    """A domain in a temporary folder. Files are named relative to the domain's folder."""

    def __init__(self, source: Path, specs: Path) -> None:
        self.specs = specs
        self.folder = Path(shutil.copytree(source, specs / source.name))

    def path(self, name: str) -> Path:
        return self.folder / name

    def text(self, name: str) -> str:
        return self.path(name).read_text(encoding="utf-8")

    def write(self, name: str, content: str | bytes) -> None:
        self.path(name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def append(self, name: str, content: str | bytes) -> None:
        added = content if isinstance(content, bytes) else content.encode()
        self.write(name, self.path(name).read_bytes() + added)

    def replace(self, name: str, old: str, new: str) -> None:
        text = self.text(name)
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {name}"
        self.write(name, text.replace(old, new))

    def load(self, rulebook: str = "default") -> tuple[Domain, Rulebook]:
        domain = load_domain(self.folder.name, self.specs)
        return domain, domain.rulebook(rulebook)

    def rejects(self, name: str, at: str | None, start: str, *parts: str, rulebook: str = "default") -> None:
        """Assert that loading fails at the one line of a file that holds the text `at` (None: the file as a whole).

        After file and line the message starts with `start`, the field included, and goes on with all of `parts`.
        """
        with pytest.raises(InputError) as caught:
            self.load(rulebook)
        found = re.fullmatch(rf"{re.escape(str(self.path(name)))}(?::(\d+))?: (.*)", str(caught.value), re.DOTALL)
        assert found, str(caught.value)
        lines = [] if at is None else [i for i, line in enumerate(self.text(name).split("\n"), start=1) if at in line]
        assert at is None or len(lines) == 1, f"{at!r} is in the lines {lines}"
        assert [int(line) for line in found.groups()[:1] if line] == lines, str(caught.value)
        assert found[2].startswith(start), str(caught.value)
        for part in parts:
            assert part in found[2][len(start) :], str(caught.value)


@pytest.fixture
def copy(greenhouse: Domain, tmp_path: Path) -> DomainCopy:
    return DomainCopy(greenhouse.folder, tmp_path)


@pytest.fixture
def driving_copy(driving: Domain, tmp_path: Path) -> DomainCopy:
    return DomainCopy(driving.folder, tmp_path)
