"""YAML files: what any of a domain's files may do wrong, whatever it is about."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.specs.files.errors import InputError, expected_one_of
from verilora.specs.files.yaml_file import MAX_BYTES, MAX_NODES, Location, YamlFile, decode, read_text, read_yaml

BOOK = "rulebooks/default.yaml"
FILES = {
    "propositions.yaml": ("propositions", "actions", "idle"),
    "worlds.yaml": ("worlds",),
    "tasks.yaml": ("goals", "tasks"),
    BOOK: ("description", "extends", "drop", "weights", "readings", "rules", "waivers"),
}
FIRST_LINE = {
    "propositions.yaml": "propositions:",
    "worlds.yaml": "worlds:",
    "tasks.yaml": "goals:",
    BOOK: "description:",
}
every_file = pytest.mark.parametrize("name", FILES)


def bomb(levels: int) -> str:
    """Return a list of nested aliases that stands for 9 to the power of `levels` words."""
    lists = ["&a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        aliases = ", ".join([f"*a{level - 1}"] * 9)
        lists.append(f"&a{level} [{aliases}]")
    return f"[{', '.join(lists)}]"


@every_file
def test_syntax_error(copy, name: str) -> None:
    copy.append(name, "wrong: a: b\n# the end\n")
    copy.rejects(name, "wrong: a: b", "not YAML: mapping values are not allowed here")


@every_file
def test_several_documents(copy, name: str) -> None:
    copy.append(name, "---\na: b\n")
    copy.rejects(name, "---", "not YAML: but found another document")


@every_file
@pytest.mark.parametrize("content", ["", "\n\n", "# only a comment\n"], ids=["empty", "blank", "comment"])
def test_empty_file(copy, name: str, content: str) -> None:
    copy.write(name, content)
    copy.rejects(name, None, f"expected a mapping with the keys {', '.join(FILES[name])}, got None")


@every_file
def test_list_where_a_mapping_is_expected(copy, name: str) -> None:
    copy.write(name, "# a list\n- dry_soil\n")
    copy.rejects(name, "- dry_soil", f"expected a mapping with the keys {', '.join(FILES[name])}, got ['dry_soil']")


@every_file
def test_other_bytes_than_utf8(copy, name: str) -> None:
    before = copy.path(name).read_bytes()
    copy.append(name, b"# caf\xe9\n")
    with pytest.raises(InputError) as caught:
        copy.load()
    line = before.count(b"\n") + 1
    assert str(caught.value) == f"{copy.path(name)}:{line}: expected UTF-8 text, got the byte 0xe9"


@every_file
def test_utf16(copy, name: str) -> None:
    copy.write(name, copy.text(name).encode("utf-16"))
    with pytest.raises(InputError) as caught:
        copy.load()
    assert str(caught.value) == f"{copy.path(name)}:1: expected UTF-8 text, got the byte 0xff"


@every_file
def test_size_limit(copy, name: str) -> None:
    room = MAX_BYTES - len(copy.path(name).read_bytes())
    copy.append(name, "#" * room)
    copy.load()
    copy.append(name, "#")
    copy.rejects(name, None, "is too large: expected at most 1,048,576 bytes")


def test_aliases_may_stand_for_many_values(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text(bomb(5))
    assert len(read_yaml(path).lines) == 1 + sum(1 + 9 * (9**level - 1) // 8 for level in range(1, 6))


@every_file
@pytest.mark.parametrize("levels", [6, 20])
def test_alias_bomb(copy, name: str, levels: int) -> None:
    copy.append(name, f"bomb: {bomb(levels)}\n")
    copy.rejects(name, None, f"holds too many values (nested aliases?): expected at most {MAX_NODES:,}")


@every_file
def test_alias_bomb_as_a_key(copy, name: str) -> None:
    copy.append(name, f"? {bomb(6)}\n: 1\n")
    copy.rejects(name, "&a0", "expected a word as key, got a sequence")


@every_file
@pytest.mark.parametrize("content", ["self: &self [*self]\n", "deep: " + "[" * 5000], ids=["alias of itself", "depth"])
def test_nesting_too_deep(copy, name: str, content: str) -> None:
    copy.append(name, content)
    copy.rejects(name, None, "nests too deeply")


@every_file
def test_control_character(copy, name: str) -> None:
    copy.append(name, b"wrong: \x00\n")
    copy.rejects(name, None, "not YAML: unacceptable character #x0000")


@every_file
@pytest.mark.parametrize(
    ("value", "field", "reason"),
    [
        pytest.param("2024-02-30", "wrong: ", "day is out of range", id="date"),
        pytest.param("!!int many", "wrong: ", "invalid literal for int", id="number"),
        pytest.param("9" * 5000, "wrong: ", "Exceeds the limit", id="digits"),
        pytest.param("!!python/name:os.system", "", "could not determine a constructor", id="tag"),
        pytest.param("*nowhere", "", "found undefined alias 'nowhere'", id="alias"),
    ],
)
def test_value_that_cannot_be_made(copy, name: str, value: str, field: str, reason: str) -> None:
    copy.append(name, f"wrong: {value}\n# the end\n")
    copy.rejects(name, "wrong:", f"{field}not YAML: ", reason)


@every_file
def test_directory_where_a_file_is_expected(copy, name: str) -> None:
    copy.path(name).unlink()
    copy.path(name).mkdir()
    with pytest.raises(InputError) as caught:
        copy.load()
    assert str(caught.value) == f"{copy.path(name)}: cannot be read: Is a directory"


@pytest.mark.parametrize("name", ["worlds.yaml", "tasks.yaml"])
def test_missing_file(copy, name: str) -> None:
    copy.path(name).unlink()
    with pytest.raises(InputError) as caught:
        copy.load()
    assert str(caught.value) == f"{copy.path(name)}: cannot be read: No such file or directory"


@every_file
def test_duplicate_key(copy, name: str) -> None:
    key = FIRST_LINE[name].removesuffix(":")
    copy.append(name, f"{key}: {{}}  # again\n")
    copy.rejects(name, "# again", f"duplicate key {key!r}")


@pytest.mark.parametrize(
    ("name", "line", "again", "field", "key"),
    [
        ("propositions.yaml", "    english: frost\n", "    english: ice\n", "propositions[2]", "english"),
        ("worlds.yaml", "    free: [dry_soil, frost]\n", "    free: all  # again\n", "worlds.seedling_bench", "free"),
        ("worlds.yaml", "    free: [dry_soil, frost]\n", "  universal: {free: all}\n", "worlds", "universal"),
        ("tasks.yaml", "  warm: hold U heat\n", "  warm: F heat\n", "goals", "warm"),
        ("tasks.yaml", "        - Start the irrigation under glass\n", "      train: \n", "tasks[0].wordings", "train"),
        (BOOK, "    weight: 2\n", "    weight: 2.5\n", "rules[0]", "weight"),
    ],
)  # fmt: skip
def test_duplicate_key_inside(copy, name: str, line: str, again: str, field: str, key: str) -> None:
    copy.replace(name, line, line + again)
    copy.rejects(name, again.rstrip("\n"), f"{field}: duplicate key {key!r}")


@every_file
def test_unknown_key(copy, name: str) -> None:
    copy.append(name, "colour: green\n")
    expected = ", ".join(sorted(FILES[name]))
    copy.rejects(name, FIRST_LINE[name], f"unknown key: got 'colour', expected one of {expected}")


@pytest.mark.parametrize(
    ("name", "old", "new", "at", "start", "hint"),
    [
        ("propositions.yaml", "synonyms: [freezing", "synonym: [icy", "- id: frost", "propositions[2]", "synonyms"),
        ("worlds.yaml", "    constraints:", "    constrains:", "  glasshouse:", "worlds.glasshouse", "constraints"),
        ("tasks.yaml", "relevant: [dry_soil, frost]", "relevnt: []", "- id: water-seed", "tasks[2]", "relevant"),
        (BOOK, "weight: 2", "wieght: 2", "- id: spare_pump", "rules[0]", "weight"),
        (BOOK, "rules:", "rulez:", "description:", "", "rules"),
    ],
)
def test_unknown_key_with_a_suggestion(copy, name: str, old: str, new: str, at: str, start: str, hint: str) -> None:
    copy.replace(name, old, new)
    got = new.strip().split(":")[0]
    field = f"{start}: " if start else ""
    copy.rejects(name, at, f"{field}unknown key: got {got!r}, expected one of ", hint, f"(did you mean {hint!r}?)")


@pytest.mark.parametrize(
    ("name", "removed", "at", "field"),
    [
        ("propositions.yaml", "idle: hold\n", "propositions:", "idle"),
        ("propositions.yaml", "    english: frost\n", "- id: frost", "propositions[2].english"),
        ("worlds.yaml", "    free: [dry_soil, frost]\n", "  seedling_bench:", "worlds.seedling_bench.free"),
        ("tasks.yaml", "    world: seedling_bench\n", "- id: water-seedling-bench", "tasks[2].world"),
        ("tasks.yaml", "    split: test\n", "- id: water-seedling-bench", "tasks[2].split"),
        (BOOK, "    formula: G(frost -> F heat)\n", "- id: fight_frost", "rules[4].formula"),
        (BOOK, "    english: The heater never runs while the door is open.\n", "- id: spare_heat", "rules[2].english"),
    ],
)
def test_missing_key(copy, name: str, removed: str, at: str, field: str) -> None:
    copy.replace(name, removed, "")
    copy.rejects(name, at, f"{field}: Field required")


@pytest.mark.parametrize(
    ("name", "old", "new", "field", "got"),
    [
        pytest.param("propositions.yaml", "[freezing air]", "freezing air", "propositions[2].synonyms",
                     "'freezing air'", id="string for list"),
        pytest.param("propositions.yaml", "[freezing air]", "[1]", "propositions[2].synonyms[0]", "1",
                     id="number for string in list"),
        pytest.param("propositions.yaml", "english: frost", "english: [frost]", "propositions[2].english",
                     "['frost']", id="list for string"),
        pytest.param("propositions.yaml", "idle: hold", "idle: {hold: 1}", "idle", "{'hold': 1}",
                     id="mapping for string"),
        pytest.param("propositions.yaml", "english: frost", "english: ~", "propositions[2].english", "None",
                     id="nothing for string"),
        pytest.param("worlds.yaml", "free: [dry_soil, frost]", "free: dry_soil", "worlds.seedling_bench.free",
                     "'dry_soil'", id="string for list or all"),
        pytest.param("worlds.yaml", "free: [dry_soil, frost]", "free: [dry_soil, 7]", "worlds.seedling_bench.free[1]",
                     "7", id="number in list or all"),
        pytest.param("worlds.yaml", "free: [dry_soil, frost]", "free: [Frost]", "worlds.seedling_bench.free[0]",
                     "'Frost'", id="capital in list or all"),
        pytest.param("tasks.yaml", "relevant: [dry_soil, frost]", "relevant: frost", "tasks[2].relevant", "'frost'",
                     id="string for list in task"),
        pytest.param("tasks.yaml", "warm: hold U heat", "warm: [heat]", "goals.warm", "['heat']",
                     id="list for formula"),
        pytest.param("tasks.yaml", "warm: hold U heat", "Warm: hold U heat", "goals.Warm", "'Warm'", id="bad key"),
        pytest.param(BOOK, "presumes: [tank_empty]", "presumes: tank_empty", "rules[0].presumes", "'tank_empty'",
                     id="string for list in rule"),
        pytest.param(BOOK, "formula: G(frost -> F heat)", "formula: true", "rules[4].formula", "True",
                     id="truth value for formula"),
    ],
)  # fmt: skip
def test_wrong_type(copy, name: str, old: str, new: str, field: str, got: str) -> None:
    copy.replace(name, old, new)
    copy.rejects(name, new, f"{field}: ", f"got {got}")


def test_list_where_a_mapping_of_names_is_expected(copy) -> None:
    copy.replace(BOOK, "      at_once:", "      -")
    copy.rejects(BOOK, "    readings:", "rules[3].readings: ", "dictionary", "got ['G((dry_soil")


def test_nothing_where_a_mapping_is_expected(copy) -> None:
    copy.append("worlds.yaml", "  empty_world:\n")
    copy.rejects(
        "worlds.yaml", "empty_world", "worlds.empty_world: expected a mapping with the keys english, ", "got None"
    )


def test_word_where_a_mapping_is_expected_in_a_list(copy) -> None:
    copy.append(BOOK, "  - no_more_rules\n")
    copy.rejects(
        BOOK, "no_more_rules", "rules[5]: expected a mapping with the keys id, formula, ", "got 'no_more_rules'"
    )


@pytest.mark.parametrize(
    ("key", "got"),
    [("7", "7"), ("yes", "True"), ("? [a, b]\n", "a sequence"), ("? {a: b}\n", "a mapping"), ("~", "None")],
)
def test_key_that_is_no_word(copy, key: str, got: str) -> None:
    copy.append("worlds.yaml", f"{key}: x\n")
    at = f"{key}: x".split("\n")[0]
    copy.rejects("worlds.yaml", at, f"expected a word as key, got {got}")


def test_merge_keys_are_refused(copy) -> None:
    copy.append("worlds.yaml", "<<: {a: b}\n")
    copy.rejects("worlds.yaml", "<<", "not YAML: could not determine a constructor for the tag")


@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(lambda text: text.encode("utf-8-sig"), id="byte order mark"),
        pytest.param(lambda text: text.replace("\n", "\r\n").encode(), id="CRLF"),
        pytest.param(lambda text: text.rstrip("\n").encode(), id="no line end"),
    ],
)
def test_harmless_differences(copy, encode) -> None:
    before = copy.load()[1].rules
    for name in FILES:
        copy.write(name, encode(copy.text(name)))
    domain, rulebook = copy.load()
    assert rulebook.rules == before
    assert list(domain.tasks) == ["water-glasshouse", "warm-glasshouse", "water-seedling-bench"]


def test_an_error_points_at_the_closest_value_around() -> None:
    file = YamlFile(Path("x.yaml"), None, {(): 1, ("rules",): 3, ("rules", 0): 4})
    assert str(file.error(("rules", 0, "id"), "wrong")) == "x.yaml:4: rules[0].id: wrong"
    assert str(file.error(("rules", 7, "id"), "wrong")) == "x.yaml:3: rules[7].id: wrong"
    assert str(file.error(("other",), "wrong")) == "x.yaml:1: other: wrong"
    assert str(file.error((), "wrong")) == "x.yaml:1: wrong"


def test_a_long_value_is_shortened(copy) -> None:
    copy.replace(BOOK, "weight: 2", f"weight: {'heavy' * 100}")
    with pytest.raises(InputError) as caught:
        copy.load()
    assert "got 'heavyheavy" in str(caught.value)
    assert str(caught.value).endswith("…")
    assert len(str(caught.value)) < len(str(copy.path(BOOK))) + 150


def test_decode_names_the_source_it_was_given() -> None:
    assert decode(b"\xef\xbb\xbfa\n", "standard input") == "a\n"
    with pytest.raises(InputError, match=r"^standard input:3: expected UTF-8 text, got the byte 0x80$"):
        decode(b"a\nb\n\x80", "standard input")


def test_read_text_takes_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("12345")
    assert read_text(path, max_bytes=5) == "12345"
    with pytest.raises(InputError, match="is too large: expected at most 4 bytes"):
        read_text(path, max_bytes=4)


@pytest.mark.parametrize(
    ("got", "known", "message"),
    [
        ("frst", ["frost", "dry_soil"], "got 'frst', expected one of dry_soil, frost (did you mean 'frost'?)"),
        ("zzz", ["frost", "dry_soil"], "got 'zzz', expected one of dry_soil, frost"),
        ("zzz", [], "got 'zzz', expected one of nothing: none is defined"),
    ],
)
def test_expected_one_of(got: str, known: list[str], message: str) -> None:
    assert expected_one_of(got, known) == message


# PyYAML writes the line separators of Unicode as line ends, so only printed characters come back.
words = st.text(st.characters(codec="utf-8", categories=("L", "M", "N", "P", "S", "Zs")), max_size=6)
scalars = st.one_of(words, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False))
contents = st.dictionaries(
    words,
    st.recursive(
        scalars, lambda part: st.lists(part, max_size=3) | st.dictionaries(words, part, max_size=3), max_leaves=8
    ),
    max_size=3,
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("yaml") / "file.yaml"


def locations(content: Any, at: Location = ()) -> Iterator[Location]:
    yield at
    parts = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in parts:
        yield from locations(value, (*at, key))


@given(contents, st.booleans())
@settings(deadline=None)
def test_reading_what_was_written_gives_the_same_content(scratch: Path, content: dict[str, Any], flow: bool) -> None:
    scratch.write_text(yaml.safe_dump(content, allow_unicode=True, default_flow_style=flow), encoding="utf-8")
    file = read_yaml(scratch)
    assert file.content == content
    assert set(file.lines) == set(locations(content))


@given(
    st.one_of(
        st.text("ab0:.-[]{}&*?!#%|>,'\"\\ \t\n\r\x00\x85", max_size=40).map(str.encode),
        st.binary(max_size=40),
    )
)
@settings(deadline=None, max_examples=500)
def test_whatever_a_file_holds_it_is_read_or_refused(scratch: Path, raw: bytes) -> None:
    scratch.write_bytes(raw)
    with suppress(InputError):
        assert read_yaml(scratch).path == scratch


@pytest.mark.parametrize(
    "formula",
    ["!(a)", "! a", "!a", "!!a", "! (a) & b", "!(a) [1]", "!(a & b)", "!(a) & b", "[](a)", "[]<>a", "@a", "'a' & b"],
)
@pytest.mark.parametrize("key", ["formula: ", "formula:\n      "], ids=["beside", "below"])
def test_a_formula_that_needs_quotes(key: str, formula: str, tmp_path: Path) -> None:
    """YAML would take a lone `!` away, and with it the negation."""
    path = tmp_path / "book.yaml"
    path.write_text(f"rules:\n  - id: x\n    {key}{formula}\n    english: A sentence.\n")
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    line = 3 + key.count("\n")
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert str(caught.value).endswith("a formula that begins so needs quotes")
    if formula in ("!(a)", "! a", "!a", "! (a) & b", "!(a) [1]"):
        assert ": rules[0].formula: YAML takes" in str(caught.value)
    elif "\n" not in key:
        assert "the value of 'formula' begins with" in str(caught.value)


@pytest.mark.parametrize("formula", ["'!(a)'", '"! a"', "(!a)", "~a", "<>a", ">-\n      !(a)", "!!str a"])
def test_a_formula_that_needs_no_more_quotes(formula: str, tmp_path: Path) -> None:
    path = tmp_path / "book.yaml"
    path.write_text(f"formula: {formula}\n")
    assert read_yaml(path).content["formula"] == formula.strip("'\"").removeprefix("!!str ").removeprefix(">-\n      ")


def test_a_key_or_a_list_with_a_tag(tmp_path: Path) -> None:
    for number, content in enumerate(["!a key: 1\n", "! key: 1\n", "key: ! [a]\n", "key: ! {a: b}\n"]):
        path = tmp_path / f"{number}.yaml"
        path.write_text(content)
        with pytest.raises(InputError, match=r":1: (key: )?YAML takes what begins with '!' for a tag"):
            read_yaml(path)


def test_what_the_public_may_know_of_an_error() -> None:
    error = InputError(Path("/var/lib/secret/rules.yaml"), "got 1, expected 2", line=3, field="weight")
    assert error.public == "rules.yaml:3: weight: got 1, expected 2"
    assert InputError(Path("/var/lib/secret"), "nothing there").public == "secret: nothing there"
