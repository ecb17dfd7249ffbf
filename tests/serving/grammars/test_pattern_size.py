import json

import pytest

from verilora.serving.grammars.pattern_size import MOST_SIZE, check_patterns, pattern_size


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        ("", 0),
        ("abc", 3),
        ("^a|b$", 2),
        ("a{3}", 3),
        ("a{2,7}b", 8),
        ("a{5,}", 5),
        ("a{0}", 1),
        ("(ab){3}", 6),
        ("((ab){3}c){10}", 70),
        ("(?:a|b){4}", 3 * 4),
        ("[a-z]{4}", 4),
        (r"[\]{9}]{4}", 4),
        (r"\d{4}\({2}", 6),
        ("a*b+c?", 3),
        ("(a+)+", 1),
        ("a{,3}", 5),
        ("a{x}", 4),
        ("{3}", 0),
        ("a)b", 3),
        ("((a{5}", 5),
        ("[a{3}", 1),
        ("\\", 1),
        ("(a{0,200}){0,200}", 40_000),
    ],
)
def test_counted_repetitions_are_written_out(pattern: str, size: int) -> None:
    assert pattern_size(pattern) == size


@pytest.mark.parametrize(
    "pattern", ["a{" + "9" * 5000 + "}", "(" * 3000 + "a" + "{9}){9}" * 3000], ids=["long", "deep"]
)
def test_no_number_grows_without_end(pattern: str) -> None:
    assert MOST_SIZE < pattern_size(pattern) < 10**19


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "(a{0,200}){0,200}"},
        {"properties": {"x": {"items": [{"anyOf": [{"pattern": "a{3000}"}]}]}}},
        {"patternProperties": {"a{3000}": {}}},
        {"anyOf": [{"pattern": "a{100}"}] * 21},
    ],
)
def test_large_patterns_are_refused_wherever_they_stand(schema: object) -> None:
    with pytest.raises(ValueError, match=r"its patterns match \d+ characters .* expected 2000"):
        check_patterns(json.dumps(schema))


@pytest.mark.parametrize("schema", ['{"anyOf": [{"pattern": "a{100}"}, {"const": "a{9999}"}]}', "{", "true", "[1]"])
def test_others_are_not(schema: str) -> None:
    check_patterns(schema)
