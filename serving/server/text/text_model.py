"""A model as text: its tokenizer and its chat template, from the card that the engine sends. Needs no torch."""

import asyncio
import json
from collections.abc import Sequence
from functools import lru_cache

from tokenizers import Tokenizer

from ...wire.messages import ModelCard
from .chat_template import ChatTemplate, Message
from .incremental_text import IncrementalText
from .token_bytes import token_bytes

LONG_TEXT = 8 * 1024
"""What is longer is worked on in a thread: the event loop is free again within a millisecond."""

# A tokenizer may make one character of several before it looks for tokens.
SHRINKING = 4


class TextTooLong(Exception):
    """A text of more tokens than are asked for."""

    def __init__(self, most: int) -> None:
        super().__init__(f"got more, expected at most {most} tokens")


class TextModel:
    """Turns text and conversations into tokens, and tokens into text."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self._tokenizer: Tokenizer = Tokenizer.from_str(card.tokenizer)
        self._template = ChatTemplate(card.chat_template, card.special_tokens)
        self._is_byte_level = "ByteLevel" in json.dumps(json.loads(card.tokenizer)["decoder"])
        self._longest = max(map(len, self._tokenizer.get_vocab()))
        added = self._tokenizer.get_added_tokens_decoder()
        self._silent = frozenset(token for token, one in added.items() if one.special)
        self._spelled = lru_cache(2**14)(self._spell)

    async def tokens(self, text: str, most: int, *, add_special_tokens: bool = True) -> tuple[int, ...]:
        """Return the tokens of a text; raises TextTooLong for more than so many."""
        if len(text) > LONG_TEXT:
            return await asyncio.to_thread(self._tokens, text, most, add_special_tokens)
        return self._tokens(text, most, add_special_tokens)

    async def conversation(self, messages: Sequence[Message], most: int) -> tuple[int, ...]:
        """Return the tokens that a model continues.

        Raises ValueError for what its template refuses, TextTooLong for more than so many tokens.
        """
        if sum(len(text) for message in messages for text in message.values()) > LONG_TEXT:
            return await asyncio.to_thread(self._conversation, messages, most)
        return self._conversation(messages, most)

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    async def long_text(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, of which there may be many."""
        if len(tokens) > LONG_TEXT:
            return await asyncio.to_thread(self.text, tokens)
        return self.text(tokens)

    def offsets(self, tokens: Sequence[int]) -> list[int]:
        """Return where the text of each token begins."""
        growing, offsets = self.incremental(), []
        for token in tokens:
            offsets.append(growing.num_chars)
            growing.push((token,))
        return offsets

    def incremental(self, stops: Sequence[str] = ()) -> IncrementalText:
        """Return a text that grows by tokens."""
        return IncrementalText(self.text, stops, self._silent)

    def spelled(self, token: int) -> tuple[str, bytes]:
        """Return a token alone as text and as bytes; of half a character the text is its bytes, written out."""
        return self._spelled(token)

    def _spell(self, token: int) -> tuple[str, bytes]:
        piece = self._tokenizer.id_to_token(token) or ""
        text = self._tokenizer.decode([token], skip_special_tokens=False)
        raw = token_bytes(piece, text, is_byte_level=self._is_byte_level)
        if "\N{REPLACEMENT CHARACTER}" in text:
            text = "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)
        return text, raw

    def _tokens(self, text: str, most: int, add_special_tokens: bool) -> tuple[int, ...]:
        if len(text) > most * self._longest * SHRINKING:
            raise TextTooLong(most)
        # A batch of one: only of batches does the library let other threads run meanwhile.
        (encoding,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=add_special_tokens)
        if len(encoding) > most:
            raise TextTooLong(most)
        return tuple(encoding.ids)

    def _conversation(self, messages: Sequence[Message], most: int) -> tuple[int, ...]:
        return self._tokens(self._template.render(messages), most, False)
