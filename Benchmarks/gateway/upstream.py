"""A stand-in for a model server: streams at a steady pace, and says of itself what vLLM does. Ends at SIGTERM.

An answer has as many tokens as `max_tokens` asks for, each a chunk of its own; one that is not streamed comes when its
stream would have ended. The id of an answer begins with the name that `--id` gives, so that a client knows who answered.
"""

import argparse
import asyncio
import json
import time


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("name", help="of the model; others are not there")
    parser.add_argument("--id", default="model", help="of this process")
    parser.add_argument("--first", type=float, default=50, help="milliseconds until the first token")
    parser.add_argument("--pause", type=float, default=25, help="milliseconds between two tokens")
    return parser.parse_args()


def compact(value):
    """JSON as vLLM writes it, without spaces."""
    return json.dumps(value, separators=(",", ":"))


class Server:
    """Answers on any number of connections."""

    def __init__(self, chosen):
        self.chosen = chosen
        self.running = 0
        self.count = 0

    async def connection(self, reader, writer):
        """One request after another, until the other side goes."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *fields = head.lower().split("\r\n")
                length = next((int(field[15:]) for field in fields if field.startswith("content-length:")), 0)
                body = await reader.readexactly(length)
                await self.answer(line.split(" ")[1], body, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, path, body, writer):
        """One answer."""
        if path == "/metrics":
            lines = [f"vllm:num_requests_running {self.running}", "vllm:num_requests_waiting 0", "vllm:kv_cache_usage_perc 0"]
            return await self.send(writer, 200, "\n".join(lines) + "\n")
        if path == "/health":
            return await self.send(writer, 200, "")
        if path not in ("/v1/chat/completions", "/v1/completions"):
            return await self.send(writer, 404, compact({"error": {"message": "no such path"}}))
        asked = json.loads(body)
        if asked["model"] != self.chosen.name:
            return await self.send(writer, 404, compact({"error": {"message": f"no model {asked['model']}"}}))
        self.running += 1
        try:
            await self.complete(asked, path == "/v1/chat/completions", len(body) // 4, writer)
        finally:
            self.running -= 1

    async def complete(self, asked, is_chat, prompt, writer):
        """The tokens, each in its time."""
        self.count += 1
        tokens = asked.get("max_tokens") or 16
        use = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
        base = {"id": f"{self.chosen.id}-{self.count}", "created": 1_700_000_000, "model": self.chosen.name}
        begin = time.monotonic() + self.chosen.first / 1e3
        pause = self.chosen.pause / 1e3
        if not asked.get("stream"):
            await asyncio.sleep(begin + (tokens - 1) * pause - time.monotonic())
            text = " token" * tokens
            choice = {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
            choices = [{"index": 0, **choice, "finish_reason": "stop"}]
            return await self.send(writer, 200, compact({**base, "choices": choices, "usage": use}))
        # Like vLLM, it says nothing before it has something to say.
        await asyncio.sleep(begin - time.monotonic())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        if is_chat:
            await self.event(writer, {**base, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        for number in range(tokens):
            await asyncio.sleep(begin + number * pause - time.monotonic())
            piece = {"delta": {"content": " token"}} if is_chat else {"text": " token"}
            reason = "stop" if number + 1 == tokens else None
            await self.event(writer, {**base, "choices": [{"index": 0, **piece, "finish_reason": reason}]})
        if (asked.get("stream_options") or {}).get("include_usage"):
            await self.event(writer, {**base, "choices": [], "usage": use})
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()

    async def event(self, writer, value):
        """A chunk of a stream."""
        text = f"data: {compact(value)}\n\n".encode()
        writer.write(b"%x\r\n%s\r\n" % (len(text), text))
        await writer.drain()

    async def send(self, writer, status, text):
        """A whole answer."""
        data = text.encode()
        kind = "application/json" if text.startswith("{") else "text/plain"
        writer.write(
            f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\ncontent-type: {kind}\r\n"
            f"content-length: {len(data)}\r\n\r\n".encode() + data
        )
        await writer.drain()


async def main(chosen):
    """Serves until it is ended."""
    server = await asyncio.start_server(Server(chosen).connection, chosen.host, chosen.port, backlog=1_024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(options()))
