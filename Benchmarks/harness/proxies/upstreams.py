"""Stand-ins for a model server."""

from harness.ports import get
from harness.processes import Failure
from harness.proxies.base import Listener
from harness.proxies.nginx import nginx_command

# Tokens of the answer in settings/upstream.conf, and of the one that streams/serve.c gives to what asks for no stream.
ANSWER_TOKENS = 20
PLAIN_TOKENS = 2
# Of a stream, a token each, and the milliseconds between two of them.
CHUNKS = 100
INTERVAL = 20


class StaticUpstream(Listener):
    """nginx with one answer for everything."""

    name = "upstream"
    # In the answer to the one request that shows that a proxy is ready.
    probe_tokens = ANSWER_TOKENS

    def __init__(self, servers, chosen):
        super().__init__(servers, chosen, chosen.load_core)
        self.questions = 0

    def start(self):
        self.launch(nginx_command(self.folder, self.fill("upstream.conf")))

    def served(self):
        """Requests that it has been sent, without the questions for this."""
        status, text = get(self.port, "/served") or (0, "")
        if status != 200:
            raise Failure(f"the upstream does not say what it has served: {status} {text[:200]}")
        self.questions += 1
        # The line below the names: connections accepted, handled, and requests.
        return int(text.splitlines()[2].split()[2]) - self.questions


class StreamUpstream(Listener):
    """A program that streams chunks at a steady pace."""

    name = "streams"
    probe_tokens = PLAIN_TOKENS

    def __init__(self, servers, chosen):
        super().__init__(servers, chosen, chosen.load_core)

    def start(self):
        self.launch([self.chosen.streams_program, "serve", self.port, CHUNKS, INTERVAL])
