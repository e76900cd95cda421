"""A webhook's receiver that checks the signature and remembers what it got."""

import hashlib
import hmac
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """Listens on a free port of the loopback interface while in its scope."""

    def __init__(self):
        self.secret = secrets.token_hex(24)
        self.lock = threading.Lock()
        self.messages = []
        self.problems = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            """Takes POST, nothing else."""

            def do_POST(self):  # pylint: disable=invalid-name
                """A notification."""
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                problem = receiver.take(self.headers, body)
                self.send_response(400 if problem else 204)
                self.end_headers()

            def log_message(self, *_):  # pylint: disable=arguments-differ
                """Not to the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def take(self, headers, body):
        """Remembers a message; what is wrong with it, or None."""
        timestamp = headers.get("X-Martlet-Timestamp", "")
        expected = hmac.new(self.secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
        problem = None
        if not hmac.compare_digest(headers.get("X-Martlet-Signature", ""), "v1=" + expected):
            problem = "the signature is wrong"
        elif not timestamp.isdigit() or abs(time.time() - int(timestamp)) > 300:
            problem = f"the timestamp is {timestamp!r}"
        elif not headers.get("Idempotency-Key"):
            problem = "there is no idempotency key"
        with self.lock:
            if problem:
                self.problems.append(problem)
            else:
                self.messages.append((headers["Idempotency-Key"], json.loads(body)))
        return problem

    def of_run(self, run):
        """The messages about a run."""
        with self.lock:
            return [message for _, message in self.messages if message["run"] == run]
