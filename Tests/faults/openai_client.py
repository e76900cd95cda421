"""The openai client's own calls, and vLLM's own benchmark, against a gateway before a real vLLM: what each of them must get."""

import argparse
import asyncio
import contextlib
import json
import re
import sys
import time
import traceback
from pathlib import Path

import openai

from checks import Failed, await_value, check
from harness.ports import get
from harness.processes import Failure, run
from harness.proxies.base import DIRECT
from harness.servers import Servers, end_on_signals
from harness.serving import MODEL, Engine, Gateway, Martlet, Replica, engine_cores

MESSAGES = [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "Name a colour."}]
# What `vllm bench serve` does; the `vllm` command of the build for CPUs does not find its own package.
BENCH = (
    "from vllm.benchmarks.serve import add_cli_args, main; "
    "from vllm.utils.argparse_utils import FlexibleArgumentParser as P; "
    "parser = P(); add_cli_args(parser); main(parser.parse_args())"
)


class Trial:
    """A gateway, an engine, and clients of them."""

    def __init__(self, gateway, engine, model):
        self.gateway = gateway
        self.engine = engine
        self.model = model
        self.folder = gateway.folder
        self.secret = gateway.key("client", "--rpm", 100_000, "--tpm", 100_000_000, team="clients")
        self.client = self.connect(self.secret)
        self.direct = openai.OpenAI(base_url=f"http://127.0.0.1:{engine.port}/v1", api_key="none", max_retries=0, timeout=120)

    def connect(self, secret, **options):
        """A client that asks once."""
        return openai.OpenAI(base_url=self.gateway.address, api_key=secret, **{"max_retries": 0, "timeout": 120, **options})

    def running(self):
        """Requests that the engine has in hand, by its own metrics."""
        text = get(self.engine.port, "/metrics")[1]
        return sum(float(value) for value in re.findall(r"(?m)^vllm:num_requests_(?:running|waiting)\{.*\} (\S+)$", text))

    def await_idle(self):
        """Waits until the engine has nothing in hand: who went is not calculated for any more."""
        await_value("the engine is idle", lambda: self.running() == 0, 5, pause=0.1)

    def await_end(self, batch, seconds=600):
        """Waits until a batch is over; the batch."""
        over = ("completed", "failed", "expired", "cancelled")

        def look():
            now = self.client.batches.retrieve(batch.id)
            return now if now.status in over else None

        return await_value(f"{batch.id} is over", look, seconds)

    def upload(self, lines, name="batch.jsonl"):
        """A file of requests."""
        text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
        return self.client.files.create(file=(name, text.encode()), purpose="batch")

    def lines(self, file):
        """The lines of a file, by their custom_id."""
        parsed = [json.loads(line) for line in self.client.files.content(file).text.splitlines()]
        check(len({line["custom_id"] for line in parsed}) == len(parsed), "a custom_id comes twice")
        return {line["custom_id"]: line for line in parsed}


@contextlib.contextmanager
def raises(kind, code=None, status=None, body=None):
    """What is done in the scope must end with an error of exactly this class; in OpenAI's shape, unless a body is given."""
    told = {}
    try:
        yield told
    except openai.OpenAIError as error:
        check(type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}")
        told["error"] = error
    else:
        raise Failed(f"no {kind.__name__}")
    if isinstance(error := told["error"], openai.APIStatusError):
        check(status in (None, error.status_code), f"status {error.status_code} instead of {status}")
        check(code in (None, error.code), f"code {error.code!r} instead of {code!r}: {error}")
        check(body in (None, error.body), f"{error.body} instead of {body}")
        check(body or error.message and error.type, f"an error without message or type: {error.body}")
        check(error.request_id, f"an error without x-request-id: {error} of {error.request.method} {error.request.url.path}")


def chat_line(name, **body):
    """A line of a batch."""
    body = {"model": MODEL, "messages": MESSAGES, "max_tokens": 8, "temperature": 0, **body}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}


# Models


def models_list(trial):
    """models.list names the model, and what its alias and version are called."""
    names = [model.id for model in trial.client.models.list()]
    wanted = {MODEL, f"{MODEL}@champion", f"{MODEL}:1"}
    check(wanted <= set(names), f"{names} instead of at least {wanted}")


def models_list_restricted(trial):
    """models.list of a key for other models is empty."""
    other = trial.connect(trial.gateway.key("restricted", "--models", "another"))
    check(list(other.models.list()) == [], "models that the key may not ask")


def models_retrieve(trial):
    """models.retrieve finds a model, and does not find another."""
    check(trial.client.models.retrieve(MODEL).id == MODEL, "another model")
    with raises(openai.NotFoundError, "model_not_found", 404):
        trial.client.models.retrieve("none")


# Chat completions


def chat(trial):
    """chat.completions.create has the engine's answer, and the use of tokens."""
    asked = {"model": MODEL, "messages": MESSAGES, "max_tokens": 12, "temperature": 0}
    got, own = trial.client.chat.completions.create(**asked), trial.direct.chat.completions.create(**asked)
    check(got.choices[0].message.content == own.choices[0].message.content, f"{got.choices} instead of {own.choices}")
    check(got.usage.total_tokens == own.usage.total_tokens > 0, f"{got.usage} instead of {own.usage}")
    check(got.choices[0].finish_reason == own.choices[0].finish_reason, "another finish_reason")


def chat_stream(trial):
    """chat.completions.create(stream=True) comes piece by piece, without an event that was not asked for."""
    asked = {"model": MODEL, "messages": MESSAGES, "max_tokens": 12, "temperature": 0}
    chunks = list(trial.client.chat.completions.create(stream=True, **asked))
    own = trial.direct.chat.completions.create(**asked).choices[0]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    check(text == own.message.content, f"{text!r} instead of {own.message.content!r}")
    check(len(chunks) > 3, f"{len(chunks)} chunks")
    check(all(chunk.choices and chunk.usage is None for chunk in chunks), "a chunk with the use, or without a choice")
    check(chunks[-1].choices[0].finish_reason == own.finish_reason, f"it ends with {chunks[-1]}")


def chat_stream_usage(trial):
    """stream_options.include_usage brings one last chunk with the use."""
    asked = {"model": MODEL, "messages": MESSAGES, "max_tokens": 12, "temperature": 0}
    chunks = list(trial.client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **asked))
    own = trial.direct.chat.completions.create(**asked).usage
    check(not chunks[-1].choices and chunks[-1].usage.total_tokens == own.total_tokens, f"it ends with {chunks[-1]}")
    check(all(chunk.choices for chunk in chunks[:-1]), "more than one chunk without a choice")


def chat_stream_helper(trial):
    """chat.completions.stream, the client's helper, puts the whole answer together."""
    with trial.client.chat.completions.stream(model=MODEL, messages=MESSAGES, max_tokens=12, temperature=0) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    check("content.delta" in kinds and kinds[-1] == "content.done", f"events {kinds}")
    check(final.choices[0].message.content, "no text")


def chat_stream_closed(trial):
    """A stream that is closed in the middle ends at the engine too."""
    stream = trial.client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=800, stream=True, extra_body={"ignore_eos": True}
    )
    for _ in zip(range(3), stream):
        pass
    check(trial.running() >= 1, "the engine has ended before the client")
    stream.close()
    trial.await_idle()


def chat_many(trial):
    """chat.completions.create(n=3, logprobs) has three answers with logprobs."""
    got = trial.client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=6, n=3, temperature=1, seed=7, logprobs=True, top_logprobs=2
    )
    check([choice.index for choice in got.choices] == [0, 1, 2], f"{got.choices}")
    check(all(choice.logprobs.content for choice in got.choices), "no logprobs")


def chat_names(trial):
    """A model's alias and version are models too."""
    for name in (f"{MODEL}@champion", f"{MODEL}:1"):
        got = trial.client.chat.completions.create(model=name, messages=MESSAGES, max_tokens=2)
        check(got.choices, f"no answer of {name}")


def chat_async(trial):
    """AsyncOpenAI: ten requests at the same time, half of them streams."""

    async def ask():
        async with openai.AsyncOpenAI(base_url=trial.gateway.address, api_key=trial.secret, max_retries=0) as client:

            async def one(number):
                asked = {"model": MODEL, "messages": MESSAGES, "max_tokens": 8, "user": f"user-{number}"}
                if number % 2:
                    return len((await client.chat.completions.create(**asked)).choices)
                return len([chunk async for chunk in await client.chat.completions.create(stream=True, **asked)])

            return await asyncio.gather(*(one(number) for number in range(10)))

    check(all(asyncio.run(ask())), "an empty answer")


# Completions


def completion(trial):
    """completions.create has the engine's answer."""
    asked = {"model": MODEL, "prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
    got, own = trial.client.completions.create(**asked), trial.direct.completions.create(**asked)
    check(got.choices[0].text == own.choices[0].text, f"{got.choices} instead of {own.choices}")
    check(got.usage.completion_tokens == own.usage.completion_tokens > 0, f"{got.usage} instead of {own.usage}")


def completion_stream(trial):
    """completions.create(stream=True) comes piece by piece."""
    asked = {"model": MODEL, "prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
    chunks = list(trial.client.completions.create(stream=True, **asked))
    own = trial.direct.completions.create(**asked).choices[0].text
    text = "".join(chunk.choices[0].text for chunk in chunks)
    check(text == own, f"{text!r} instead of {own!r}")
    check(len(chunks) > 3 and all(chunk.usage is None for chunk in chunks), f"{len(chunks)} chunks")


def completion_array(trial):
    """completions.create with several prompts has an answer to each, in their order."""
    prompts = ["One, two,", "The capital of France is", "Once upon a time"]
    asked = {"model": MODEL, "max_tokens": 6, "temperature": 0}
    got = trial.client.completions.create(prompt=prompts, **asked)
    own = [trial.direct.completions.create(prompt=prompt, **asked).choices[0].text for prompt in prompts]
    check([choice.index for choice in got.choices] == [0, 1, 2], f"{got.choices}")
    check([choice.text for choice in got.choices] == own, f"{[choice.text for choice in got.choices]} instead of {own}")
    got = trial.client.completions.create(prompt=[[504, 3575], [5345]], **asked)
    check(len(got.choices) == 2, f"prompts as numbers of tokens: {got.choices}")


def completion_many(trial):
    """Forty completions at the same time, half of them equal to others: each has the answer it would have had alone."""

    async def ask():
        async with openai.AsyncOpenAI(base_url=trial.gateway.address, api_key=trial.secret, max_retries=0) as client:
            prompts = [f"Count: {number % 20}," for number in range(40)]
            made = [client.completions.create(model=MODEL, prompt=one, max_tokens=4, temperature=0) for one in prompts]
            return [(prompt, answer) for prompt, answer in zip(prompts, await asyncio.gather(*made), strict=True)]

    answers = asyncio.run(ask())
    others = set()
    for prompt, answer in answers:
        check(len(answer.choices) == 1 and answer.choices[0].index == 0, f"{answer.choices}")
        check(answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens, f"{answer.usage}")
        own = trial.direct.completions.create(model=MODEL, prompt=prompt, max_tokens=4, temperature=0)
        check(answer.usage.prompt_tokens == own.usage.prompt_tokens, f"{answer.usage} instead of {own.usage}")
        if answer.choices[0].text != own.choices[0].text:
            others.add(prompt)
    check(len({answer.id for _, answer in answers}) >= 20, "unlike requests have the same id")
    # Calculated together with others, an answer may be another one to the last bit, and now and then by a word.
    check(len(others) <= 2, f"other answers than alone to {sorted(others)}")


# Embeddings


def embeddings(trial):
    """embeddings.create: the engine's vectors; where it has none, OpenAI's error, whatever the engine's looks like."""
    try:
        own = trial.direct.embeddings.create(model=MODEL, input="a text", encoding_format="float")
    except openai.APIStatusError as error:
        if error.status_code in (404, 405):
            with raises(openai.NotFoundError, "not_supported", 404):
                trial.client.embeddings.create(model=MODEL, input="a text", encoding_format="float")
            return "the engine does not have the path, and the gateway says so"
        with raises(type(error), body=error.body) as told:
            trial.client.embeddings.create(model=MODEL, input="a text", encoding_format="float")
        return f"the engine has none: {told['error'].message}"
    got = trial.client.embeddings.create(model=MODEL, input="a text", encoding_format="float")
    check(got.data[0].embedding == own.data[0].embedding, "another vector")
    return None


# Files


def files(trial):
    """files: create, retrieve, content, list, delete."""
    text = "".join(json.dumps(chat_line(f"line-{number}")) + "\n" for number in range(3))
    made = trial.client.files.create(file=("ünï code.jsonl", text.encode()), purpose="batch")
    check(made.object == "file" and made.bytes == len(text) and made.purpose == "batch", f"{made}")
    check(trial.client.files.retrieve(made.id) == made, "another file is retrieved")
    check(made.filename == "ünï code.jsonl", f"the name became {made.filename!r}")
    check(trial.client.files.content(made.id).read() == text.encode(), "other content")
    check(made.id in [file.id for file in trial.client.files.list()], "it is not listed")
    check(made.id in [file.id for file in trial.client.files.list(purpose="batch")], "it is not listed by its purpose")
    gone = trial.client.files.delete(made.id)
    check(gone.deleted and gone.id == made.id, f"{gone}")
    for call in (trial.client.files.retrieve, trial.client.files.content, trial.client.files.delete):
        with raises(openai.NotFoundError, "not_found", 404):
            call(made.id)


def files_pages(trial):
    """files.list and its pages: every file once, the latest first."""
    made = [trial.upload([chat_line("one")], f"page-{number}.jsonl").id for number in range(5)]
    listed = [file.id for file in trial.client.files.list(limit=2)]
    check(len(listed) == len(set(listed)), "a file comes twice")
    check(listed[:5] == made[::-1], f"{listed[:5]} instead of {made[::-1]}")
    for file in made:
        trial.client.files.delete(file)


def files_of_others(trial):
    """Files belong to a team: another one does not see them, a colleague does."""
    made = trial.upload([chat_line("one")])
    stranger = trial.connect(trial.gateway.key("stranger", team="strangers"))
    colleague = trial.connect(trial.gateway.key("colleague", team="clients"))
    with raises(openai.NotFoundError, "not_found", 404):
        stranger.files.content(made.id)
    check(made.id not in [file.id for file in stranger.files.list()], "a stranger sees it")
    check(colleague.files.retrieve(made.id).id == made.id, "a colleague does not see it")
    trial.client.files.delete(made.id)


def files_purpose(trial):
    """A file for anything but batches is refused; so is an empty one."""
    with raises(openai.BadRequestError, "invalid_purpose", 400):
        trial.client.files.create(file=("tune.jsonl", b"{}\n"), purpose="fine-tune")
    with raises(openai.BadRequestError, "no_file", 400):
        trial.client.files.create(file=("empty.jsonl", b""), purpose="batch")


# Batches


def batch(trial):
    """batches: create, retrieve, list; answers and errors in their files."""
    lines = [chat_line(f"line-{number}", messages=[{"role": "user", "content": f"Say {number}"}]) for number in range(40)]
    # The engine refuses this one, the gateway that one.
    lines[7]["body"]["max_tokens"] = 100_000
    lines[9]["body"]["model"] = "none"
    file = trial.upload(lines)
    made = trial.client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"for": "a test"}
    )
    check(made.object == "batch" and made.status == "validating", f"{made}")
    check(made.metadata == {"for": "a test"} and made.input_file_id == file.id, f"{made}")
    check(made.id in [one.id for one in trial.client.batches.list(limit=5)], "it is not listed")
    done = trial.await_end(made)
    counts = done.request_counts
    check(done.status == "completed", f"{done}")
    check((counts.total, counts.completed, counts.failed) == (40, 38, 2), f"{counts}")
    check(done.completed_at >= done.in_progress_at >= done.created_at, f"{done}")
    output, errors = trial.lines(done.output_file_id), trial.lines(done.error_file_id)
    check(list(errors) == ["line-7", "line-9"], f"errors of {list(errors)}")
    check(list(output) == [line["custom_id"] for line in lines if line["custom_id"] not in errors], "another order")
    codes = {name: line["response"]["status_code"] for name, line in errors.items()}
    check(codes == {"line-7": 400, "line-9": 404}, f"{codes}")
    for name, line in output.items():
        check(line["error"] is None and line["response"]["status_code"] == 200 and line["response"]["request_id"], f"{line}")
        check(line["response"]["body"]["choices"][0]["message"]["content"], f"{name} has no text")
    own = trial.direct.chat.completions.create(**lines[0]["body"]).choices[0].message.content
    got = output["line-0"]["response"]["body"]["choices"][0]["message"]["content"]
    tokens = sum(line["response"]["body"]["usage"]["total_tokens"] for line in output.values())
    check(done.usage.total_tokens == tokens, f"{done.usage} instead of {tokens} tokens")
    for one in (done.output_file_id, done.error_file_id, file.id):
        trial.client.files.delete(one)
    return None if got == own else "an answer has other words than alone: calculated together with others"


def batch_cancel(trial):
    """batches.cancel: ends soon, every line is in one of the files, and what was answered is kept."""
    lines = [chat_line(f"line-{number}", max_tokens=32) for number in range(1_000)]
    file = trial.upload(lines)
    made = trial.client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    await_value("it has begun", lambda: trial.client.batches.retrieve(made.id).request_counts.completed > 0, 300)
    with raises(openai.ConflictError, "conflict", 409):
        trial.client.files.delete(file.id)
    check(trial.client.batches.cancel(made.id).status == "cancelling", "it is not being cancelled")
    began = time.monotonic()
    done = trial.await_end(made, 120)
    check(done.status == "cancelled" and done.cancelled_at, f"{done}")
    output, errors = trial.lines(done.output_file_id), trial.lines(done.error_file_id)
    check(not set(output) & set(errors) and len(output) + len(errors) == 1_000, f"{len(output)} and {len(errors)} lines")
    check({line["error"]["code"] for line in errors.values()} == {"batch_cancelled"}, "errors with other codes")
    check(done.request_counts.completed == len(output), f"{done.request_counts}, {len(output)} answers")
    with raises(openai.ConflictError, "conflict", 409):
        trial.client.batches.cancel(made.id)
    trial.await_idle()
    return f"{len(output)} lines were answered; cancelled after {time.monotonic() - began:.1f} s"


def batch_faults(trial):
    """A file that cannot be worked on: the batch fails with what is wrong in which line."""
    stream = chat_line("streams", stream=True)
    other = {**chat_line("elsewhere"), "url": "/v1/completions"}
    file = trial.upload([chat_line("twice"), chat_line("twice"), "{no JSON", stream, other])
    made = trial.client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    done = trial.await_end(made, 60)
    check(done.status == "failed" and done.failed_at and not done.output_file_id, f"{done}")
    found = [(fault.line, fault.code) for fault in done.errors.data]
    wanted = [(2, "duplicate_custom_id"), (3, "invalid_json_line"), (4, "invalid_body"), (5, "invalid_url")]
    check(found == wanted, f"{found} instead of {wanted}")


def batch_refused(trial):
    """batches.create: unknown files, other endpoints and windows are refused."""
    file = trial.upload([chat_line("one")])
    asked = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    for change, code in (
        ({"input_file_id": "file-0"}, "invalid_file"),
        ({"endpoint": "/v1/responses"}, "invalid_endpoint"),
        ({"completion_window": "1h"}, "invalid_window"),
    ):
        with raises(openai.BadRequestError, code, 400):
            trial.client.batches.create(**{**asked, **change})
    with raises(openai.NotFoundError, "not_found", 404):
        trial.client.batches.retrieve("batch_0")
    with raises(openai.NotFoundError, "not_found", 404):
        trial.client.batches.cancel("batch_0")


def batch_pages(trial):
    """batches.list and its pages: every batch once, the latest first."""
    file = trial.upload([chat_line("one", max_tokens=1)])
    asked = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = [trial.client.batches.create(**asked).id for _ in range(4)]
    listed = [one.id for one in trial.client.batches.list(limit=3)]
    check(len(listed) == len(set(listed)), "a batch comes twice")
    check(listed[:4] == made[::-1], f"{listed[:4]} instead of {made[::-1]}")
    for one in made:
        check(trial.await_end(trial.client.batches.retrieve(one), 120).status == "completed", f"{one} did not complete")


def batch_of_others(trial):
    """Batches belong to a team."""
    file = trial.upload([chat_line("one", max_tokens=1)])
    made = trial.client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    stranger = trial.connect(trial.gateway.key("other-batches", team="strangers"))
    with raises(openai.NotFoundError, "not_found", 404):
        stranger.batches.retrieve(made.id)
    with raises(openai.NotFoundError, "not_found", 404):
        stranger.batches.cancel(made.id)
    check(not list(stranger.batches.list()), "a stranger sees batches")
    trial.await_end(made, 120)


# Errors


def wrong_key(trial):
    """A key that is unknown or revoked is an AuthenticationError on every endpoint."""
    for client in (trial.connect("sk-martlet-unknown"), trial.connect(revoked(trial))):
        for call in (
            lambda c: c.chat.completions.create(model=MODEL, messages=MESSAGES),
            lambda c: c.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True),
            lambda c: c.completions.create(model=MODEL, prompt="?"),
            lambda c: c.models.list(),
            lambda c: c.files.list(),
            lambda c: c.files.create(file=("a.jsonl", b"{}\n"), purpose="batch"),
            lambda c: c.batches.list(),
        ):
            with raises(openai.AuthenticationError, "invalid_api_key", 401):
                call(client)


def revoked(trial):
    """A key that was good a moment ago."""
    secret = trial.gateway.key("revoked")
    trial.gateway.martlet.command("key", "revoke", "revoked")
    await_value("the key is refused", lambda: not trial.gateway.knows(secret), 10)
    return secret


def unknown_model(trial):
    """A model that is not there is a NotFoundError, one that the key may not ask a PermissionDeniedError."""
    with raises(openai.NotFoundError, "model_not_found", 404):
        trial.client.chat.completions.create(model="none", messages=MESSAGES)
    with raises(openai.NotFoundError, "model_not_found", 404):
        trial.client.completions.create(model=f"{MODEL}:9", prompt="?", stream=True)
    other = trial.connect(trial.gateway.key("elsewhere", "--models", "another"))
    with raises(openai.PermissionDeniedError, "model_not_allowed", 403):
        other.chat.completions.create(model=MODEL, messages=MESSAGES)


def rate_limits(trial):
    """Requests and tokens a minute, and requests at the same time, beyond what a key may: RateLimitError with Retry-After."""
    client = trial.connect(trial.gateway.key("two-a-minute", "--rpm", 2))
    asked = {"model": MODEL, "messages": MESSAGES, "max_tokens": 2}
    for _ in range(2):
        client.chat.completions.create(**asked)
    for stream in (False, True):
        with raises(openai.RateLimitError, "requests_per_minute", 429) as told:
            client.chat.completions.create(stream=stream, **asked)
        pause = int(told["error"].response.headers["retry-after"])
        check(1 <= pause <= 120, f"Retry-After {pause}")
    client = trial.connect(trial.gateway.key("few-tokens", "--tpm", 100))
    with raises(openai.RateLimitError, "tokens_per_minute", 429):
        client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=500)
    client = trial.connect(trial.gateway.key("one-at-once", "--concurrent", 1))
    stream = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=500, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    with raises(openai.RateLimitError, "concurrent_requests", 429):
        client.chat.completions.create(**asked)
    stream.close()
    trial.await_idle()
    client.chat.completions.create(**asked)
    client = trial.connect(trial.gateway.key("no-money", "--budget", 0))
    with raises(openai.RateLimitError, "monthly_budget", 429):
        client.chat.completions.create(**asked)


def retries(trial):
    """The client's own retries come back after Retry-After, and get their answer."""
    secret = trial.gateway.key("comes-back", "--concurrent", 1)
    holder = trial.connect(secret).chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=500, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(holder))
    # The place becomes free while the client pauses.
    client = trial.connect(secret, max_retries=5)
    asyncio.run(close_while(holder, lambda: client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=2)))
    trial.await_idle()


async def close_while(stream, call):
    """Closes a stream half a second after a call began in a thread; waits for the call."""
    task = asyncio.create_task(asyncio.to_thread(call))
    await asyncio.sleep(0.5)
    stream.close()
    return await task


def bad_bodies(trial):
    """What cannot be answered is a BadRequestError: by the gateway, and by the engine in its own words."""
    for body, code in (
        ({"max_tokens": "many"}, "invalid_body"),
        ({"stream": "yes"}, "invalid_body"),
        ({"n": 128, "max_tokens": 10_000_000}, "too_many_tokens"),
    ):
        with raises(openai.BadRequestError, code, 400):
            trial.client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_body=body)
    for body in ({"max_tokens": 100_000}, {"temperature": -5}, {"messages": [{"role": 5}]}):
        try:
            trial.direct.chat.completions.create(model=MODEL, messages=MESSAGES, extra_body=body)
        except openai.BadRequestError as error:
            own = error
        with raises(openai.BadRequestError, status=400) as told:
            trial.client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_body=body)
        check(told["error"].message == own.message, f"{told['error'].message} instead of {own.message}")


def unknown_path(trial):
    """What there is not is a NotFoundError."""
    with raises(openai.NotFoundError, "unknown_path", 404):
        trial.client.images.generate(prompt="a bird", model=MODEL)
    with raises(openai.NotFoundError, status=404):
        trial.client.files.retrieve("file-0")


def request_ids(trial):
    """with_raw_response: x-request-id is there, unlike others, and the client's own where it sends one."""
    asked = {"model": MODEL, "messages": MESSAGES, "max_tokens": 2}
    raw = [trial.client.chat.completions.with_raw_response.create(**asked) for _ in range(2)]
    ids = [answer.headers.get("x-request-id") for answer in raw]
    check(all(ids) and ids[0] != ids[1], f"{ids}")
    check(raw[0].parse()._request_id == ids[0], "the parsed answer has another id")
    own = trial.client.chat.completions.with_raw_response.create(**asked, extra_headers={"X-Request-Id": "mine-1"})
    check(own.headers["x-request-id"] == "mine-1", f"{own.headers['x-request-id']}")
    check(trial.client.models.with_raw_response.list().headers.get("x-request-id"), "none with the list of models")
    check(trial.client.files.with_raw_response.list().headers.get("x-request-id"), "none with the list of files")
    with trial.client.chat.completions.with_streaming_response.create(stream=True, **asked) as answer:
        check(answer.headers.get("x-request-id"), "none with a stream")
        check(answer.headers["content-type"].startswith("text/event-stream"), f"{answer.headers['content-type']}")
        check(list(answer.iter_lines())[-2:], "an empty stream")


def timeouts(trial):
    """A client that waits no longer has an APITimeoutError, and the engine ends its request."""
    client = trial.client.with_options(timeout=1)
    with raises(openai.APITimeoutError):
        client.completions.create(model=MODEL, prompt="On and on", max_tokens=900, extra_body={"ignore_eos": True})
    trial.await_idle()
    trial.client.completions.create(model=MODEL, prompt="Still there?", max_tokens=2)


# vLLM's own benchmark


def bench_serve(trial, backend, path):
    """`vllm bench serve` to its end; every request must be answered."""
    name = f"{backend}.json"
    words = ["--backend", backend, "--base-url", f"http://127.0.0.1:{trial.gateway.port}", "--endpoint", path]
    words += ["--model", MODEL, "--tokenizer", trial.model, "--dataset-name", "random", "--input-len", 16]
    words += ["--output-len", 8, "--num-prompts", 64, "--max-concurrency", 16, "--ignore-eos", "--disable-tqdm"]
    words += ["--save-result", "--result-dir", trial.folder, "--result-filename", name]
    environment = {**DIRECT, "OPENAI_API_KEY": trial.secret, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    run("vllm bench serve", [sys.executable, "-c", BENCH, *words], environment, limit=600)
    said = json.loads((trial.folder / name).read_text(encoding="utf-8"))
    check(said["completed"] == 64 and said["total_output_tokens"] == 64 * 8, f"{said['completed']} of 64 completed: {said}")
    return f"{said['request_throughput']:.1f} requests/s, first token at p99 after {said['p99_ttft_ms']:.0f} ms"


def bench_completions(trial):
    """vllm bench serve, unchanged, with completions."""
    return bench_serve(trial, "openai", "/v1/completions")


def bench_chat(trial):
    """vllm bench serve, unchanged, with chat completions."""
    return bench_serve(trial, "openai-chat", "/v1/chat/completions")


CHECKS = {
    check.__name__.replace("_", "-"): check
    for check in (
        models_list, models_list_restricted, models_retrieve, chat, chat_stream, chat_stream_usage, chat_stream_helper, chat_stream_closed,
        chat_many, chat_names, chat_async, completion, completion_stream, completion_array, completion_many, embeddings,
        files, files_pages, files_of_others, files_purpose, batch, batch_cancel, batch_faults, batch_refused, batch_pages,
        batch_of_others, wrong_key, unknown_model, rate_limits, retries, bad_bodies, unknown_path, request_ids, timeouts,
        bench_completions, bench_chat,
    )
}  # fmt: skip


def attempt(name, trial):
    """Runs one check and prints its line; whether it passed."""
    began = time.monotonic()
    try:
        note = CHECKS[name](trial)
        verdict = "passed"
    except (Failed, Failure, openai.OpenAIError) as error:
        verdict, note = "FAILED", f"{type(error).__name__}: {error}" if not isinstance(error, Failed) else str(error)
    except Exception:  # pylint: disable=broad-exception-caught
        verdict, note = "FAILED", traceback.format_exc()
    what = CHECKS[name].__doc__.splitlines()[0]
    print(f"{verdict}  {name} ({time.monotonic() - began:.1f} s)  {note or what}", flush=True)
    return verdict == "passed"


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checks", nargs="*", metavar="CHECK")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--engine-cores", default=engine_cores())
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.checks if name not in CHECKS]:
        parser.error(f"there is no check {', '.join(unknown)}; --list shows all")
    return chosen


def main():
    """Runs the checks; 1 when one failed."""
    chosen = options()
    if chosen.list:
        for name, body in CHECKS.items():
            print(f"{name:24}  {body.__doc__.splitlines()[0]}")
        return 0
    end_on_signals()
    with Servers(chosen.program, ["redis", "postgresql", "seaweedfs"]) as servers:
        martlet = Martlet(chosen.program, servers)
        martlet.prepare()
        # Some processors do not calculate an answer to the same last bit of 16 beside others as alone.
        with Engine(servers.folder, chosen.model, chosen.engine_cores, dtype="float32") as engine:
            with Gateway(martlet, "clients", [Replica(engine)]) as gateway:
                trial = Trial(gateway, engine, chosen.model)
                passed = [attempt(name, trial) for name in chosen.checks or CHECKS]
                complaints = gateway.complaints()
    if complaints:
        print(f"the gateway's log:\n{complaints[:4_000]}")
    print(f"{sum(passed)} of {len(passed)} passed")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"openai_client: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
