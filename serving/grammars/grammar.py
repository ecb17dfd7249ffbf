"""A grammar that an answer must follow, before it is compiled."""

import hashlib
from enum import StrEnum

import msgspec


class GrammarKind(StrEnum):
    """How a grammar is written: as a JSON schema, or in xgrammar's EBNF, which only the server itself writes."""

    SCHEMA = "schema"
    EBNF = "ebnf"


class Grammar(msgspec.Struct, frozen=True, array_like=True):
    """A grammar and how it is written."""

    kind: GrammarKind
    content: str

    @property
    def key(self) -> str:
        """SHA-256 that names it."""
        return hashlib.sha256(f"{self.kind}\0{self.content}".encode()).hexdigest()


ANY_OBJECT = Grammar(GrammarKind.SCHEMA, '{"type":"object"}')
"""Any JSON object."""
