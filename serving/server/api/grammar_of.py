"""The grammar that a body asks for."""

import json
from collections.abc import Mapping
from typing import Any

from ...grammars.grammar import ANY_OBJECT, Grammar, GrammarKind
from .api_error import refused
from .bodies import SamplingBody

MOST_CHARS = 64 * 1024
"""Of a JSON schema."""


def grammar_of(body: SamplingBody, named: Mapping[str, Grammar]) -> tuple[str, Grammar] | None:
    """Return the field that asks for a grammar and the grammar, None if there is none.

    `named` are those that the server knows by name. Raises ApiError for what cannot be honoured.
    """
    form, asked = body.response_format, body.structured_outputs
    if form is not None and form.type != "text" and asked is not None:
        raise refused("response_format and structured_outputs are given, expected one of them", "response_format")
    if asked is not None:
        return "structured_outputs", _structured(asked.grammar, asked.json_schema, named)
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return "response_format", ANY_OBJECT
    if form.json_schema is None:
        raise refused("response_format, got no json_schema, expected one", "response_format")
    return "response_format", _schema(form.json_schema.content or {}, "response_format")


def _structured(name: str | None, schema: dict[str, Any] | None, named: Mapping[str, Grammar]) -> Grammar:
    if (name is None) == (schema is None):
        raise refused("structured_outputs, expected one of grammar and json", "structured_outputs")
    if schema is not None:
        return _schema(schema, "structured_outputs")
    found = named.get(name or "")
    if found is None:
        known = ", ".join(sorted(named)) or "none"
        raise refused(
            f"structured_outputs, expected the name of a grammar that is known: {known}", "structured_outputs"
        )
    return found


def _schema(schema: dict[str, Any], field: str) -> Grammar:
    # As it is written: the order of properties is that of answers.
    content = json.dumps(schema)
    if len(content) > MOST_CHARS:
        raise refused(f"{field}, got a schema of {len(content)}, expected at most {MOST_CHARS} characters", field)
    return Grammar(GrammarKind.SCHEMA, content)
