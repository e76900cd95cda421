"""A stand-in for a model server in which a call costs the same however many prompts it has: one call at a time, 20 ms each.

Answers completions as vLLM does, with the numbers of tokens where they are asked for, and says of itself how many calls
wait. Every word of a prompt is a token, and so is every word of an answer. Ends at SIGTERM.
"""

import argparse
import asyncio
import json
import zlib


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("name", help="of the model; others are not there")
    parser.add_argument("--cost", type=float, default=20, help="milliseconds that a call takes")
    return parser.parse_args()


def compact(value):
    """JSON as vLLM writes it, without spaces."""
    return json.dumps(value, separators=(",", ":"))


class Server:
    """Answers on any number of connections, one call after another."""

    def __init__(self, chosen):
        self.chosen = chosen
        self.turn = asyncio.Lock()
        self.waiting = 0
        self.count = 0

    async def connection(self, reader, writer):
        """One request after another, until the other side goes."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *fields = head.lower().split("\r\n")
                length = next((int(field[15:]) for field in fields if field.startswith("content-length:")), 0)
                text = await reader.readexactly(length)
                status, answer = await self.answer(line.split(" ")[1], text)
                kind = "application/json" if answer.startswith("{") else "text/plain"
                reason = "OK" if status == 200 else "Error"
                data = answer.encode()
                writer.write(
                    f"HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n\r\n".encode()
                    + data
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, path, text):
        """The status and the text of an answer."""
        if path == "/health":
            return 200, ""
        if path == "/metrics":
            running = 1 if self.turn.locked() else 0
            lines = [f"vllm:num_requests_running {running}", f"vllm:num_requests_waiting {self.waiting}"]
            return 200, "\n".join([*lines, "vllm:kv_cache_usage_perc 0", ""])
        if path != "/v1/completions":
            return 404, compact({"error": {"message": "no such path", "type": "NotFoundError", "param": None, "code": 404}})
        asked = json.loads(text)
        if asked["model"] != self.chosen.name:
            return 404, compact({"error": {"message": "no such model", "type": "NotFoundError", "param": "model", "code": 404}})
        self.waiting += 1
        async with self.turn:
            self.waiting -= 1
            await asyncio.sleep(self.chosen.cost / 1e3)
        return 200, self.complete(asked)

    def complete(self, asked):
        """The completions of all prompts, the same for the same prompt."""
        prompts = asked["prompt"] if isinstance(asked["prompt"], list) else [asked["prompt"]]
        tokens = asked.get("max_tokens") or 16
        choices, prompt_tokens = [], 0
        for index, prompt in enumerate(prompts):
            numbers = [zlib.crc32(word.encode()) % 50_000 for word in prompt.split()]
            prompt_tokens += len(numbers)
            answer = [zlib.crc32(f"{prompt} {place}".encode()) % 50_000 for place in range(tokens)]
            choice = {"index": index, "text": "".join(f" {number}" for number in answer), "logprobs": None}
            choice |= {"finish_reason": "length", "stop_reason": None}
            if asked.get("return_token_ids"):
                choice |= {"token_ids": answer, "prompt_token_ids": numbers}
            choices.append(choice)
        self.count += 1
        completion_tokens = tokens * len(prompts)
        usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens + completion_tokens}
        usage |= {"completion_tokens": completion_tokens, "prompt_tokens_details": None}
        base = {"id": f"cmpl-{self.count}", "object": "text_completion", "created": 1_700_000_000, "model": asked["model"]}
        return compact({**base, "choices": choices, "usage": usage})


async def main(chosen):
    """Serves until it is ended."""
    server = await asyncio.start_server(Server(chosen).connection, chosen.host, chosen.port, backlog=1_024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(options()))
