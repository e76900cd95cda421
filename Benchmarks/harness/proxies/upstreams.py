"""Stand-ins for a model server."""

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

    def start(self):
        self.launch(nginx_command(self.folder, self.fill("upstream.conf")))


class StreamUpstream(Listener):
    """A program that streams chunks at a steady pace."""

    name = "streams"
    probe_tokens = PLAIN_TOKENS

    def __init__(self, servers, chosen):
        super().__init__(servers, chosen, chosen.load_core)

    def start(self):
        self.launch([self.chosen.streams_program, "serve", self.port, CHUNKS, INTERVAL])
