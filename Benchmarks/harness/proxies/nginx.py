"""nginx as a reverse proxy."""

from harness import machine
from harness.proxies.base import Proxy


def nginx_command(folder, settings):
    """nginx with all its files in a folder."""
    return ["nginx", "-p", folder, "-e", "stderr", "-c", settings]


class Nginx(Proxy):
    """One worker."""

    name = "nginx"
    title = "nginx"
    note = "1 worker that keeps 1,024 connections, no buffering of answers; passes bytes on, and no more"

    def version(self):
        return machine.first_line("nginx", "-v").removeprefix("nginx version: ")

    def start(self):
        self.launch(nginx_command(self.folder, self.fill("nginx.conf", upstream=self.upstream)))
