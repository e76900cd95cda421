"""A client of chat completions that says exactly what became of each of its requests."""

import dataclasses
import http.client
import json
import select
import time

# What becomes of a request.
WHOLE = "whole"  # answered to the last byte
REFUSED = "refused"  # answered with an error instead
CUT = "cut"  # a stream that ended, in order, with an error
LEFT = "left"  # the client went, as it was meant to
BROKEN = "broken"  # the connection ended, or brought something that is no answer
UNREACHABLE = "unreachable"  # nobody listens


@dataclasses.dataclass
class Attempt:
    """One request to one gateway; filled in while it goes on, so that others can watch."""

    port: int
    streams: bool
    tokens: int  # asked for
    began: float = 0.0
    first: float | None = None  # when the first token was there
    ended: float | None = None
    outcome: str | None = None
    status: int = 0
    pieces: int = 0  # of a stream
    server: str = ""  # the beginning of the answer's id
    model: str = ""
    error: str = ""  # the code of an error, or what broke

    def __str__(self):
        kind = "stream" if self.streams else "answer"
        return f"{kind} of {self.tokens} tokens at {self.port}: {self.outcome} after {self.pieces}, {self.status} {self.error}"


class Client:
    """Keeps a connection to each gateway; for one thread."""

    def __init__(self, key, timeout=60):
        self.key = key
        self.timeout = timeout
        self.connections = {}

    def close(self):
        """Closes all connections."""
        for connection in self.connections.values():
            connection.close()

    def ask(self, attempt, model, content, leaves_after=None):
        """Fills in an attempt.

        leaves_after: so many pieces of a stream after which the connection is closed.
        """
        body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": attempt.tokens}
        if attempt.streams:
            body["stream"] = True
            # Some ask for the use of tokens themselves; for the others the gateway does.
            if attempt.tokens % 2:
                body["stream_options"] = {"include_usage": True}
        connection = self.connections.get(attempt.port)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", attempt.port, timeout=self.timeout)
            self.connections[attempt.port] = connection
        attempt.began = time.monotonic()
        try:
            # Something to read before anything was asked is the end of a connection that was kept.
            if connection.sock is not None and select.select([connection.sock], [], [], 0)[0]:
                connection.close()
            if connection.sock is None:
                connection.connect()
        except OSError as error:
            self._end(attempt, UNREACHABLE, repr(error))
            return
        try:
            fields = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
            connection.request("POST", "/v1/chat/completions", json.dumps(body), fields)
            answer = connection.getresponse()
            attempt.status = answer.status
            if answer.status != 200 or not attempt.streams:
                self._read_plain(attempt, json.loads(answer.read()))
            elif self._read_stream(attempt, answer, leaves_after):
                # What comes no more would be taken for the next answer.
                connection.close()
        except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
            connection.close()
            self._end(attempt, BROKEN, repr(error))

    @staticmethod
    def _end(attempt, outcome, error=""):
        attempt.outcome, attempt.error = outcome, error
        # Last: whoever sees it finds the rest.
        attempt.ended = time.monotonic()

    def _read_plain(self, attempt, said):
        if attempt.status != 200:
            self._end(attempt, REFUSED, said["error"]["code"] or said["error"]["message"])
            return
        attempt.server, attempt.model = said["id"].rpartition("-")[0], said["model"]
        if said["usage"]["completion_tokens"] != attempt.tokens:
            self._end(attempt, BROKEN, f"{said['usage']} instead of {attempt.tokens} tokens")
            return
        self._end(attempt, WHOLE)

    def _read_stream(self, attempt, answer, leaves_after):
        """Returns whether the connection must be closed."""
        pending, is_done, error = b"", False, None
        # Ends with an exception where the stream ends without its last chunk.
        while received := answer.read1(65_536):
            *events, pending = (pending + received).split(b"\n\n")
            for event in events:
                text = event.removeprefix(b"data: ")
                if text == b"[DONE]":
                    is_done = True
                    continue
                said = json.loads(text)
                if "error" in said:
                    error = said["error"]["code"]
                    continue
                attempt.server, attempt.model = said["id"].rpartition("-")[0], said["model"]
                if said["choices"] and said["choices"][0]["delta"].get("content"):
                    attempt.first = attempt.first or time.monotonic()
                    attempt.pieces += 1
            if leaves_after is not None and attempt.pieces >= leaves_after and not is_done:
                self._end(attempt, LEFT)
                return True
        if error is not None and not is_done:
            self._end(attempt, CUT, error)
        elif not is_done or pending or attempt.pieces != attempt.tokens:
            self._end(attempt, BROKEN, f"[DONE] {is_done}, {len(pending)} bytes over")
        else:
            self._end(attempt, WHOLE)
        return False
