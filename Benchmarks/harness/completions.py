"""Clients of a model server: so many at a time, or so many in a second, and what became of each of their requests."""

import asyncio
import contextlib
import dataclasses
import itertools
import json
import random
import re
import time

import aiohttp

# Seconds that a client waits for an answer: longer than the gateway lets anything take.
PATIENCE = 120


@dataclasses.dataclass
class Target:
    """Whom to ask, and as whom."""

    port: int
    model: str
    key: str | None = None


@dataclasses.dataclass
class Reply:
    """What became of a request."""

    began: float
    first: float | None = None  # when the first piece of a stream was there
    ended: float | None = None
    status: int = 0  # 0: no answer
    text: str = ""
    tokens: int = 0  # of the answer
    pauses: bool = False  # a refusal says when to come back
    fault: str = ""  # what went wrong, beside refusals

    @property
    def is_whole(self):
        """Whether it was answered to the last byte."""
        return self.status == 200 and not self.fault

    @property
    def is_refused(self):
        """Whether there was no room for it."""
        return self.status in (429, 503)

    @property
    def seconds(self):
        """From the request to the last byte."""
        return self.ended - self.began

    @property
    def first_seconds(self):
        """From the request to the first piece."""
        return self.first - self.began


@contextlib.asynccontextmanager
async def session():
    """Connections, as many as are needed, kept for the next request."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    # trust_env is off: nothing stands between this machine and itself.
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as opened:
        yield opened


def body(target, prompt, tokens, streams=False):
    """A completion of exactly so many tokens, the likeliest ones."""
    asked = {"model": target.model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    if streams:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    return asked


async def ask(opened, target, asked):
    """Sends a completion and reads all of its answer."""
    reply = Reply(time.monotonic())
    headers = {"Authorization": f"Bearer {target.key}"} if target.key else {}
    try:
        url = f"http://127.0.0.1:{target.port}/v1/completions"
        async with opened.post(url, json=asked, headers=headers) as answer:
            reply.status = answer.status
            if answer.status != 200:
                reply.pauses = answer.headers.get("Retry-After", "").isdigit()
                text = await answer.text()
                if not reply.is_refused:
                    reply.fault = f"{answer.status} {text[:200]}"
            elif asked.get("stream"):
                await _read_stream(reply, answer)
            else:
                said = await answer.json()
                reply.text, reply.tokens = said["choices"][0]["text"], said["usage"]["completion_tokens"]
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError, LookupError) as error:
        reply.fault = repr(error)[:200]
    reply.ended = time.monotonic()
    if reply.is_whole and reply.tokens != asked["max_tokens"]:
        reply.fault = f"{reply.tokens} tokens instead of {asked['max_tokens']}"
    return reply


async def _read_stream(reply, answer):
    is_done = False
    async for line in answer.content:
        if not line.startswith(b"data: "):
            continue
        if line == b"data: [DONE]\n":
            is_done = True
            continue
        said = json.loads(line[6:])
        if "error" in said:
            reply.fault = json.dumps(said["error"])[:200]
            continue
        if said.get("usage"):
            reply.tokens = said["usage"]["completion_tokens"]
        for choice in said["choices"]:
            if choice["text"]:
                reply.first = reply.first or time.monotonic()
                reply.text += choice["text"]
    if not is_done and not reply.fault:
        reply.fault = "the stream ended before [DONE]"
    # Tokens may come to nothing that can be shown, as the bytes of a character that is not whole.
    reply.first = reply.first or time.monotonic()


async def closed_loop(opened, target, bodies, width):
    """Asks everything, so many at a time; the replies in the order of the requests, and the seconds it took."""
    replies = [None] * len(bodies)
    rest = iter(enumerate(bodies))

    async def client():
        for number, asked in rest:
            replies[number] = await ask(opened, target, asked)

    began = time.monotonic()
    await asyncio.gather(*(client() for _ in range(width)))
    return replies, time.monotonic() - began


async def ask_for(opened, target, bodies, width, seconds, until=None):
    """Asks for a while, so many at a time and from the beginning again, or until an event is set; the replies."""
    replies = []
    rest = itertools.cycle(bodies)
    end = time.monotonic() + seconds

    async def client():
        while time.monotonic() < end and not (until and until.is_set()):
            replies.append(await ask(opened, target, next(rest)))

    await asyncio.gather(*(client() for _ in range(width)))
    return replies


@dataclasses.dataclass
class Slot:
    """A time in which all clients ask the same target.

    Its answers count once what was asked of the one before has ended, and where they were asked in it.
    """

    name: str
    target: Target
    start: float = 0.0
    end: float = 0.0
    replies: list = dataclasses.field(default_factory=list)  # (number of the request, reply), all of them
    asked: int = 0  # requests, answered or not
    # What was seen meanwhile: parts of a core that the gateway took, requests that the engine had in hand, tokens of answers in
    # each of its steps, and what a step took in milliseconds.
    cpu: float = 0.0
    running: float = 0.0
    waiting: float = 0.0
    tokens: float = 0.0
    step: float = 0.0

    @property
    def counted(self):
        """The answers that count."""
        return [reply for _, reply in self.replies if reply.is_whole and self.start <= reply.ended < self.end]

    @property
    def rate(self):
        """Answers in a second."""
        return len(self.counted) / (self.end - self.start)


async def alternate(opened, bodies, width, slots, settle, seconds, rise, measured):
    """A load that never ends and changes its target with each slot, so that one is no further from the other in time.

    settle: seconds from when all is answered that was asked in the slot before, until it is measured.
    seconds: that are measured in each slot.
    rise: seconds in which the clients begin, one after another: those that begin together and ask for the same number of
    tokens stay together in groups that the first moment makes, and between two such waves the engine has nothing to do.
    measured: a scope around what is measured, made from the slot.
    """
    rest = itertools.cycle(enumerate(bodies))
    current, is_over = slots[0], False

    async def client(place):
        await asyncio.sleep(rise * place / width)
        while not is_over:
            slot, (number, asked) = current, next(rest)
            slot.asked += 1
            slot.replies.append((number, await ask(opened, slot.target, asked)))

    clients = asyncio.gather(*(client(place) for place in range(width)))
    try:
        await asyncio.sleep(rise)
        for current in slots:
            # No longer than a client waits for its answer.
            while any(slot.asked > len(slot.replies) for slot in slots if slot is not current):
                await asyncio.sleep(0.1)
            await asyncio.sleep(settle)
            if clients.done():
                break
            async with measured(current):
                current.start = time.monotonic()
                await asyncio.sleep(seconds)
                current.end = time.monotonic()
    finally:
        is_over = True
        await clients


@dataclasses.dataclass
class Client:
    """One that asks several targets in turns, and what became of its requests, by the name of the target."""

    start: float
    end: float
    replies: dict

    def counted(self, name):
        """Seconds that its answers took, of those that ended while all the others asked as well."""
        return [reply.seconds for reply in self.replies[name] if reply.is_whole and self.start <= reply.ended < self.end]


async def interleave(opened, bodies, width, targets, seconds, rise):
    """A load in which each client asks the one target and the other in turns, which of them first by chance each time.

    A machine that is slower for a moment is so for both.

    targets: by name.
    rise: as in `alternate`; nothing counts before twice as much has gone by.
    Returns the clients.
    """
    rest = itertools.cycle(bodies)
    choice = random.Random(1)
    start = time.monotonic() + 2 * rise
    clients = [Client(start, start + seconds, {name: [] for name in targets}) for _ in range(width)]

    async def ask_both(place, client):
        await asyncio.sleep(rise * place / width)
        while time.monotonic() < client.end:
            for name in choice.sample(list(targets), len(targets)):
                client.replies[name].append(await ask(opened, targets[name], next(rest)))

    await asyncio.gather(*(ask_both(place, client) for place, client in enumerate(clients)))
    return clients


async def counters(port, *names):
    """What a vLLM has counted since it began, by the names of its metrics without their beginning."""
    # A connection for each look: a kept one may end just when it is used again.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as opened:
        async with opened.get(f"http://127.0.0.1:{port}/metrics") as answer:
            text = await answer.text()
    return [sum(float(one) for one in re.findall(rf"(?m)^vllm:{name}[{{ ].*?(\S+)$", text)) for name in names]


@dataclasses.dataclass
class Look:
    """What a vLLM had in hand at a moment: requests that it worked on, and others."""

    at: float
    running: float
    waiting: float


@contextlib.asynccontextmanager
async def watching(port, pause=0.5):
    """What a vLLM says that it has in hand, looked at while in the scope: a list of looks that grows."""
    seen = []

    async def look():
        while True:
            await asyncio.sleep(pause)
            at = time.monotonic()
            seen.append(Look(at, *await counters(port, "num_requests_running", "num_requests_waiting")))

    task = asyncio.create_task(look())
    try:
        yield seen
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def open_loop(opened, target, bodies, rate, seconds, seed):
    """Asks so many times in a second, at random moments, whatever becomes of it; the replies, once all are there."""
    choice = random.Random(seed)
    rest = itertools.cycle(bodies)
    tasks = []
    due = time.monotonic()
    end = due + seconds
    while (due := due + choice.expovariate(rate)) < end:
        await asyncio.sleep(max(0, due - time.monotonic()))
        tasks.append(asyncio.create_task(ask(opened, target, next(rest))))
    return await asyncio.gather(*tasks)
