"""Stand-ins for a model server."""

from harness.proxies.base import Listener
from harness.proxies.nginx import nginx_command

# Of an answer, and of a stream: as settings/upstream.conf and streams/serve.c tell it.
ANSWER_TOKENS = 20
PROBE_TOKENS = 2


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
    probe_tokens = PROBE_TOKENS

    def __init__(self, servers, chosen):
        super().__init__(servers, chosen, chosen.load_core)

    def start(self):
        program, chunks, interval = self.chosen.streams_program, self.chosen.chunks, self.chosen.interval
        self.launch([program, "serve", self.port, chunks, interval])
