"""Applications that ask the gateway all the time, and notice every request that fails."""

import asyncio
import collections
import random
import threading
import time

import openai

QUESTIONS = [
    "What is CWE-{}?",
    "How can CWE-{} be mitigated?",
    "What can happen when CWE-{} is exploited?",
    "Explain CWE-{} in more detail.",
]


class Load:
    """Some users with a conversation each, half of them streaming; runs in a thread of its own."""

    def __init__(self, address, key, model, users=6):
        self.address = address
        self.key = key
        self.model = model
        self.users = users
        self.answers = collections.Counter()
        self.failures = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends with the requests that run."""
        self._ends.set()
        self._thread.join(timeout=120)

    async def _run(self):
        client = openai.AsyncOpenAI(base_url=self.address, api_key=self.key, max_retries=0, timeout=120)
        await asyncio.gather(*[self._user(client, number) for number in range(self.users)])

    async def _user(self, client, number):
        # Always the same, so that two runs ask the same.
        choice = random.Random(number)
        conversation = 0
        while not self._ends.is_set():
            conversation += 1
            session = f"user-{number}-{conversation}"
            try:
                await self._ask(client, choice, session, streams=(conversation + number) % 2 == 0)
                # People read; and the same two cores train and start engines meanwhile.
                await asyncio.sleep(choice.uniform(0.2, 1))
            except Exception as error:  # pylint: disable=broad-exception-caught
                self.failures.append(f"{time.strftime('%X')} {type(error).__name__}: {str(error)[:200]}")
                await asyncio.sleep(0.2)

    async def _ask(self, client, choice, session, streams):
        question = choice.choice(QUESTIONS).format(choice.randint(20, 1300))
        messages = [{"role": "system", "content": "You are a security expert."}, {"role": "user", "content": question}]
        options = {"model": self.model, "messages": messages, "max_tokens": 48, "user": session}
        if not streams:
            answer = await client.chat.completions.create(**options)
            self.answers[answer.model] += 1
            return
        ended, name = False, None
        async for chunk in await client.chat.completions.create(stream=True, **options):
            name = chunk.model
            ended = ended or any(one.finish_reason for one in chunk.choices)
        if not ended:
            raise RuntimeError("the stream ended without saying why")
        self.answers[name] += 1
