"""An engine as a model server starts one: answers like vLLM, without a model. Ends at SIGTERM; with weights that begin with
"slow", three seconds later.

Starts when the file is there that HOLD names, if any.

usage: engine.py HOST PORT NAME FOLDER
"""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

host, port, name, folder = sys.argv[1:5]
weights = open(os.path.join(folder, "model.safetensors"), encoding="utf-8").read()


class Handler(BaseHTTPRequestHandler):
    """Health, metrics, and one completion."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Says nothing."""

    def _is_refused(self):
        """Whether the request lacks the key that vLLM would want."""
        key = os.environ.get("VLLM_API_KEY")
        if key is None or self.headers["Authorization"] == f"Bearer {key}":
            return False
        self._answer("{}", 401)
        return True

    def _answer(self, body, status=200):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):  # pylint: disable=invalid-name
        """Health and metrics."""
        if self.path == "/metrics":
            self._answer("vllm:num_requests_running 0\nvllm:num_requests_waiting{} 0\nvllm:kv_cache_usage_perc 0\n")
        else:
            self._answer("{}")

    def do_POST(self):  # pylint: disable=invalid-name
        """A completion that says what it is."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._is_refused():
            return
        status = 200 if asked["model"] == name and weights != "broken" else 500
        place = {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "cores": os.environ.get("VLLM_CPU_OMP_THREADS_BIND")}
        self._answer(json.dumps({"model": name, "choices": [{"text": weights}], **place}), status)


def end(*_):
    """Ends, sooner or later."""
    if weights.startswith("slow"):
        time.sleep(3)
    os._exit(0)


signal.signal(signal.SIGTERM, end)
while "HOLD" in os.environ and not os.path.exists(os.environ["HOLD"]):
    time.sleep(0.02)
ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
