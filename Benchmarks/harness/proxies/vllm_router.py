"""vLLM's router."""

import importlib.metadata
import os
import sys

from harness.ports import free_port
from harness.proxies.base import Proxy


class VLLMRouter(Proxy):
    """As it comes, with one worker."""

    name = "vllm-router"
    title = "vllm-router"
    note = "round robin over one worker, metrics on, no keys; logs at warning"

    def version(self):
        return importlib.metadata.version("vllm-router")

    def start(self):
        program = os.path.join(os.path.dirname(sys.executable), "vllm-router")
        command = [program, "--worker-urls", f"http://127.0.0.1:{self.upstream}", "--policy", "round_robin"]
        command += ["--host", "127.0.0.1", "--port", self.port, "--prometheus-port", free_port()]
        self.launch([*command, "--log-level", "warning"])
