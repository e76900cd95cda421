"""Martlet's gateway with everything on."""

import dataclasses
import datetime
import json

from harness import machine
from harness.ports import get
from harness.processes import run
from harness.proxies.base import Proxy


class Martlet(Proxy):
    """One event loop."""

    name = "martlet"
    title = "Martlet"
    note = (
        "1 event loop; a key with limits of requests, tokens, concurrency and budget, shared through Redis; costs, "
        "metrics, routing by alias; every request in the usage journal and from there in PostgreSQL"
    )

    def __init__(self, servers, chosen, upstream):
        super().__init__(servers, chosen, upstream)
        self.key_name = f"bench-{self.port}"
        self.probe_tokens = upstream.probe_tokens
        self.began = datetime.datetime.now(datetime.timezone.utc).date()

    @property
    def environment(self):
        """Where the servers are."""
        return {"MARTLET_STATE": str(self.servers.state), "MARTLET_LOG_LEVEL": "warning", "MARTLET_HTTP": "127.0.0.1:0"}

    @property
    def helpers(self):
        return list(self.servers.pids.values())

    def version(self):
        return machine.first_line(self.chosen.martlet, "--version")

    def start(self):
        # All limits are looked at for every request, and none is met.
        limits = ["--rpm", 1_000_000_000, "--tpm", 1_000_000_000, "--concurrent", 100_000, "--budget", 1_000_000]
        words = ["key", "create", self.key_name, "--team", "bench", "--models", "security-qa", *limits]
        self.key = run("martlet key create", [self.chosen.martlet, *words], self.environment).output.strip()
        settings = self.fill("martlet.yaml", upstream=self.upstream)
        self.launch([self.chosen.martlet, "gateway", "--config", settings], self.environment)

    def answers(self):
        if (get(self.port, "/health") or (0, ""))[0] != 200:
            return False
        if not super().answers():
            return False
        self.tally.add(1, self.probe_tokens)
        return True

    def usage(self):
        """What the ledger has of this gateway's key."""
        # The day before as well: a request may be counted on the day that it began on.
        start = self.began - datetime.timedelta(days=1)
        words = ["usage", "--from", start.isoformat(), "--output", "json"]
        rows = json.loads(run("martlet usage", [self.chosen.martlet, *words], self.environment).output)
        own = [row for row in rows if row["key"] == self.key_name]
        return {
            "requests": sum(row["requests"] for row in own),
            "completion_tokens": sum(row["completionTokens"] for row in own),
            "cost": sum(row["cost"] for row in own),
        }

    def close_books(self):
        """Compares the usage with what was sent, and tells; to be called once the gateway has ended."""
        if complaints := self.child.output().strip():
            print(f"  Martlet's log has warnings:\n{complaints[:4_000]}")
        used, sent = self.usage(), self.tally
        requests = used["requests"] - sent.requests
        tokens = used["completion_tokens"] - sent.completion_tokens
        print(
            f"  Martlet's usage: {used['requests']:,} requests with {used['completion_tokens']:,} tokens of answers, "
            f"cost {used['cost']:.2f}; answered were {sent.requests:,} with {sent.completion_tokens:,}, and at most "
            f"{sent.cut:,} were cut off",
            flush=True,
        )
        return {
            "used": used,
            "sent": dataclasses.asdict(sent),
            "lost": max(0, -requests, -tokens),
            "invented": max(0, requests - sent.cut, tokens - sent.cut_tokens),
        }
