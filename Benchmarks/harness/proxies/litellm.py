"""LiteLLM's proxy."""

import importlib.metadata
import os
import secrets
import sys

from harness.proxies.base import Proxy


class LiteLLM(Proxy):
    """One worker process."""

    name = "litellm"
    title = "LiteLLM"
    note = "1 worker, one model, its master key for all, no database or callbacks"

    def version(self):
        return importlib.metadata.version("litellm")

    def seconds(self, connections):
        # A hundred requests in a second are few for as many connections.
        return self.chosen.seconds * (2 if connections > 100 else 1)

    def start(self):
        settings = self.fill("litellm.yaml", upstream=self.upstream)
        command = [os.path.join(os.path.dirname(sys.executable), "litellm"), "--config", settings]
        command += ["--host", "127.0.0.1", "--port", self.port, "--num_workers", 1]
        # Without a key it does not start.
        self.key = "sk-" + secrets.token_hex(32)
        # The prices that came with it, and nothing of the user's own.
        strangers = {name: None for name in os.environ if name.startswith(("LITELLM_", "OPENAI_"))}
        settled = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MASTER_KEY": self.key,
            "LITELLM_MODE": "PRODUCTION",
        }
        self.launch(command, {"DATABASE_URL": None, **strangers, **settled})
