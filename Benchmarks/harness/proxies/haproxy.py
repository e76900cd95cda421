"""HAProxy in HTTP mode."""

from harness import machine
from harness.proxies.base import Proxy


class HAProxy(Proxy):
    """One thread."""

    name = "haproxy"
    title = "HAProxy"
    note = "1 thread, HTTP mode, http-reuse always; passes bytes on, and no more"

    def version(self):
        return machine.first_line("haproxy", "-v")

    def start(self):
        self.launch(["haproxy", "-db", "-f", self.fill("haproxy.cfg", upstream=self.upstream)])
