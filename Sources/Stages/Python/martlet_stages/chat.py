"""From a conversation to token ids and the mask of what the model should learn to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from .failures import permanent
from .records import Record

# Fewer answer tokens than this teach nothing: such a record is dropped rather than truncated.
MINIMUM_ANSWER_TOKENS = 4


@dataclass(frozen=True, slots=True)
class Encoded:
    ids: numpy.ndarray
    """Token ids, int32, prompt and answers."""
    mask: numpy.ndarray
    """uint8, 1 where the token belongs to an answer of the assistant (its end token included)."""
    prompt_length: int
    """Tokens before the last answer: what generation is given."""
    truncated_tokens: int
    """Tokens cut from the end to fit; 0 when whole."""


class Renderer:
    """Applies the model's own chat template. The text is tokenised once and as a whole, as the model saw it
    when it was trained; character offsets tell answer from prompt."""

    def __init__(self, tokenizer, chat_template: str | None, max_length: int, truncate: bool):
        self._tokenizer = tokenizer
        self._template = chat_template or tokenizer.chat_template
        self._max_length = max_length
        self._truncate = truncate
        if not self._template:
            raise permanent(
                "no_chat_template", "the base model has no chat template; give one in the field 'chat_template'"
            )
        if isinstance(self._template, dict):
            raise permanent(
                "no_chat_template", "the base model has several chat templates; give one in the field 'chat_template'"
            )
        if not tokenizer.is_fast:
            raise permanent("invalid_model", "the base model has no fast tokenizer (tokenizer.json)")
        if tokenizer.eos_token_id is None:
            raise permanent("invalid_model", "the base model's tokenizer has no end-of-sequence token")

    def encode(self, records: Sequence[Record]) -> list[Encoded | None]:
        """One entry per record; None where the prompt leaves no room for an answer."""
        rendered = [self._render(record) for record in records]
        batch = self._tokenizer(
            [text for text, _, _ in rendered], add_special_tokens=False, return_offsets_mapping=True
        )
        return [
            self._mask(ids, offsets, spans, ends)
            for ids, offsets, (_, spans, ends) in zip(batch["input_ids"], batch["offset_mapping"], rendered, strict=True)
        ]

    def _render(self, record: Record) -> tuple[str, list[tuple[int, int]], bool]:
        """The text up to the end of the last answer, the character spans of the answers, and whether the
        template closes the last one with the end token."""
        messages = list(record.messages)
        spans: list[tuple[int, int]] = []
        text = ""
        ends = False
        eos = self._tokenizer.eos_token
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self._apply(messages[:index], True, record)
            text = self._apply(messages[: index + 1], False, record)
            if not text.startswith(prompt):
                raise permanent(
                    "chat_template_unsupported",
                    "the chat template rewrites earlier turns when the answer is added, so answers cannot be told "
                    f"from prompts (record {record.id}); give a plain one in the field 'chat_template'",
                    record=record.id,
                )
            tail = text[len(prompt) :]
            ends = eos in tail
            length = tail.rfind(eos) + len(eos) if ends else len(tail.rstrip())
            spans.append((len(prompt), len(prompt) + length))
        return text[: spans[-1][1]], spans, ends

    def _apply(self, messages: list[dict[str, str]], generate: bool, record: Record) -> str:
        try:
            return self._tokenizer.apply_chat_template(
                messages, chat_template=self._template, tokenize=False, add_generation_prompt=generate
            )
        except Exception as error:
            raise permanent(
                "chat_template_failed", f"the chat template cannot render record {record.id}: {error}", record=record.id
            ) from error

    def _mask(self, ids, offsets, spans: list[tuple[int, int]], ends: bool) -> Encoded | None:
        tokens = numpy.array(ids, numpy.int32)
        starts = numpy.array([start for start, _ in offsets], numpy.int64)
        mask = numpy.zeros(len(tokens), numpy.uint8)
        for start, end in spans:
            mask[(starts >= start) & (starts < end)] = 1
        prompt_length = int(numpy.searchsorted(starts, spans[-1][0], "left"))
        if not ends:
            tokens = numpy.append(tokens, numpy.int32(self._tokenizer.eos_token_id))
            mask = numpy.append(mask, numpy.uint8(1))
        cut = max(0, len(tokens) - self._max_length)
        if cut:
            if not self._truncate or self._max_length - prompt_length < MINIMUM_ANSWER_TOKENS:
                return None
            tokens, mask = tokens[: self._max_length], mask[: self._max_length]
        if not mask.any() or prompt_length == 0:
            return None
        return Encoded(tokens, mask, prompt_length, cut)
