import pytest
import support

from martlet_stages.chat import Renderer
from martlet_stages.failures import StageFailure
from martlet_stages.records import Record


def record(*messages):
    turns = tuple({"role": role, "content": content} for role, content in messages)
    return Record("r", "s", ("s",), "q", turns[-1]["content"], turns)


def answers(tokenizer, encoded):
    return tokenizer.decode([token for token, bit in zip(encoded.ids, encoded.mask, strict=True) if bit])


def test_only_the_answer_and_its_end_are_learnt():
    tokenizer = support.make_tokenizer()
    encoded = Renderer(tokenizer, None, 256, True).encode([record(("user", "Why? é"), ("assistant", "Because ü."))])[0]
    assert answers(tokenizer, encoded) == "Because ü.<|end|>"
    prompt = tokenizer.decode(encoded.ids[: encoded.prompt_length])
    assert prompt == "<|start|>user\nWhy? é<|end|>\n<|start|>assistant\n"
    assert encoded.truncated_tokens == 0


def test_every_assistant_turn_is_learnt_and_the_prompt_reaches_the_last():
    tokenizer = support.make_tokenizer()
    turns = record(("system", "S"), ("user", "a"), ("assistant", "one"), ("user", "b"), ("assistant", "two"))
    encoded = Renderer(tokenizer, None, 256, True).encode([turns])[0]
    assert answers(tokenizer, encoded) == "one<|end|>two<|end|>"
    assert tokenizer.decode(encoded.ids[encoded.prompt_length :]) == "two<|end|>"


def test_a_long_answer_is_cut_and_counted_or_dropped():
    tokenizer = support.make_tokenizer()
    long = record(("user", "q"), ("assistant", "x" * 200))
    cut = Renderer(tokenizer, None, 64, True).encode([long])[0]
    assert len(cut.ids) == 64 and cut.mask[-1] == 1
    assert 64 + cut.truncated_tokens == len(Renderer(tokenizer, None, 999, True).encode([long])[0].ids)
    assert Renderer(tokenizer, None, 64, False).encode([long]) == [None]
    assert Renderer(tokenizer, None, 64, True).encode([record(("user", "q" * 80), ("assistant", "x"))]) == [None]


def test_a_template_without_end_token_gets_one():
    tokenizer = support.make_tokenizer()
    template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}" \
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"  # fmt: skip
    encoded = Renderer(tokenizer, template, 256, True).encode([record(("user", "q"), ("assistant", "yes"))])[0]
    assert answers(tokenizer, encoded) == "yes<|end|>"


def test_a_model_without_template_is_refused_with_the_remedy():
    tokenizer = support.make_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(StageFailure, match="chat_template") as caught:
        Renderer(tokenizer, None, 64, True)
    assert caught.value.code == "no_chat_template"


def test_a_template_that_rewrites_earlier_turns_is_refused():
    tokenizer = support.make_tokenizer()
    template = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(StageFailure, match="rewrites earlier turns"):
        Renderer(tokenizer, template, 64, True).encode([record(("user", "q"), ("assistant", "yes"))])
