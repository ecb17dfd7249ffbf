"""Requests drawn from the OpenAPI document: none makes the server fail, or answer as the document does not say."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from servers import Served

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ROUTES = [
    ("POST", "/v1/completions"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("GET", "/v1/adapters"),
    ("GET", "/v1/adapters/{name}"),
    ("POST", "/v1/load_lora_adapter"),
    ("POST", "/v1/unload_lora_adapter"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/metrics"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda value: value)
def test_what_is_drawn_from_the_document_is_answered_as_it_says(served: Served, method: str, path: str) -> None:
    seen: set[int] = set()
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{served.port}/openapi.json")

    @settings(
        max_examples=30 if method == "POST" else 5,
        deadline=None,
        suppress_health_check=[*HealthCheck],
        derandomize=True,
    )
    @given(case=schema[path][method].as_strategy())
    def check(case: schemathesis.Case) -> None:
        if isinstance(case.body, dict) and "completions" in path:
            # The model that is there, and short answers.
            case.body["model"] = "base"
            case.body["max_tokens"] = 4
        seen.add(case.call_and_validate(checks=CHECKS).status_code)

    check()
    # Something must come of the bodies that are drawn.
    assert 200 in seen or "lora" in path or "{" in path


def test_every_route_is_drawn_from(served: Served) -> None:
    _, document = served.ask("GET", "/openapi.json")
    assert {(method.upper(), path) for path, one in document["paths"].items() for method in one} == {*ROUTES}
