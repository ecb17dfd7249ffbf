"""YAML files whose errors know their line: duplicate keys, wrong shapes and wrong values."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from .errors import InputError, expected_one_of

Location = tuple[str | int, ...]
# As a formula may begin; YAML takes these characters for marks of its own.
_MARKED_VALUE = re.compile(r"\s*(?:- +)*(?:([\w-]+): +)?([]!&*@%`|>'\"{[])")
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
MAX_BYTES = 2**20
MAX_NODES = 100_000
_IN_QUOTES = "a formula that begins so needs quotes"


class Row(BaseModel):
    """A mapping in a user's file: no key but the declared ones, no value of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"expected a mapping with the keys {', '.join(cls.model_fields)}, got {_shorten(value)}")
        for key in value:
            if key not in cls.model_fields:
                raise ValueError(f"unknown key: {expected_one_of(str(key), cls.model_fields)}")
        return value


RowT = TypeVar("RowT", bound=Row)


@dataclass(frozen=True, slots=True)
class YamlFile:
    """The content of a YAML file and the line of each of its values."""

    path: Path
    content: Any
    lines: dict[Location, int]

    def error(self, location: Location, message: str) -> InputError:
        """Return an error that points at a value, or at the closest one around it that the file holds."""
        known = location
        while known and known not in self.lines:
            known = known[:-1]
        return InputError(self.path, message, line=self.lines.get(known), field=_field(location))

    def parse(self, model: type[RowT]) -> RowT:
        """Return the content as a model; raises InputError for the first value that does not fit."""
        try:
            return model.model_validate(self.content)
        except ValidationError as error:
            first = error.errors()[0]
            message = first["msg"].removeprefix("Value error, ")
            got = "" if first["type"] in ("missing", "value_error") else f", got {_shorten(first['input'])}"
            raise self.error(self._location(first), message + got) from None

    def _location(self, error: ErrorDetails) -> Location:
        """Return where an error is in the file: without the marks that pydantic adds for keys and for alternatives."""
        at: Location = ()
        for part in error["loc"]:
            at = (*at, part) if (*at, part) in self.lines else at
        return (*at, error["loc"][-1]) if error["type"] == "missing" else at


def read_text(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """Return a UTF-8 file's text; raises InputError if it cannot be read, is too large or holds other bytes."""
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from None
    if len(raw) > max_bytes:
        raise InputError(path, f"is too large: expected at most {max_bytes:,} bytes")
    return decode(raw, path)


def decode(raw: bytes, path: Path | str) -> str:
    """Return UTF-8 bytes as text; raises InputError that names the first line that is not."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(path, f"expected UTF-8 text, got the byte 0x{raw[error.start]:02x}", line=line) from None


def read_yaml(path: Path) -> YamlFile:
    """Return a YAML file; raises InputError for unreadable files, syntax errors and duplicate keys."""
    text = read_text(path)
    lines: dict[Location, int] = {}
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        content = _construct(loader, node, (), lines, path) if node else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        hint = _hint(text, mark.line) if mark else ""
        raise InputError(path, f"not YAML: {error.problem}{hint}", line=mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise InputError(path, f"not YAML: {error}") from None
    except RecursionError:
        raise InputError(path, "nests too deeply (an alias of itself?)") from None
    return YamlFile(path, content, lines)


def _construct(loader: yaml.SafeLoader, node: yaml.Node, at: Location, lines: dict[Location, int], path: Path) -> Any:
    lines[at] = node.start_mark.line + 1
    _check_untagged(node, at, path)
    if len(lines) > MAX_NODES:
        raise InputError(path, f"holds too many values (nested aliases?): expected at most {MAX_NODES:,}")
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*at, index), lines, path) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                # It is not even built, because its aliases may make it huge.
                raise InputError(
                    path, f"expected a word as key, got a {key_node.id}", line=key_node.start_mark.line + 1
                )
            _check_untagged(key_node, at, path)
            key = _scalar(loader, key_node, at, path)
            if not isinstance(key, str):
                raise InputError(path, f"expected a word as key, got {key!r}", line=key_node.start_mark.line + 1)
            if key in mapping:
                raise InputError(path, f"duplicate key {key!r}", line=key_node.start_mark.line + 1, field=_field(at))
            mapping[key] = _construct(loader, value_node, (*at, key), lines, path)
            lines[(*at, key)] = key_node.start_mark.line + 1
        return mapping
    return _scalar(loader, node, at, path)


def _check_untagged(node: yaml.Node, at: Location, path: Path) -> None:
    """Raise InputError for a value with a tag: YAML drops a lone `!`, so that a formula would say the opposite."""
    mark = node.start_mark
    begin = mark.buffer[mark.pointer : mark.pointer + 2] if mark.buffer else ""
    # Two of them name a type of YAML's own, such as `!!str`; it knows which there are.
    if begin.startswith("!") and begin != "!!":
        message = f"YAML takes what begins with '!' for a tag: {_IN_QUOTES}"
        raise InputError(path, message, line=mark.line + 1, field=_field(at))


def _hint(text: str, line: int) -> str:
    """Return what to do about a value in a line that begins with a mark of YAML's; nothing for other lines."""
    found = _MARKED_VALUE.match(_LINE_BREAK.split(text)[line])
    if not found:
        return ""
    return f"; {f'the value of {found[1]!r}' if found[1] else 'it'} begins with {found[2]}: {_IN_QUOTES}"


def _scalar(loader: yaml.SafeLoader, node: yaml.Node, at: Location, path: Path) -> Any:
    try:
        return loader.construct_object(node)
    except ValueError as error:
        # Such as the date 2024-02-30: PyYAML lets the error of the Python type through.
        raise InputError(path, f"not YAML: {error}", line=node.start_mark.line + 1, field=_field(at)) from None


def _field(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _shorten(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
