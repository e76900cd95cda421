"""An engine as a model server starts one: answers like vLLM, without a model. Ends at SIGTERM.

usage: engine.py HOST PORT NAME FOLDER
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

host, port, name, folder = sys.argv[1:5]
weights = open(os.path.join(folder, "model.safetensors"), encoding="utf-8").read()


class Handler(BaseHTTPRequestHandler):
    """Health, metrics, and one completion."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Says nothing."""

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
        status = 200 if asked["model"] == name and weights != "broken" else 500
        place = {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "cores": os.environ.get("VLLM_CPU_OMP_THREADS_BIND")}
        self._answer(json.dumps({"model": name, "choices": [{"text": weights}], **place}), status)


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
