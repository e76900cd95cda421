"""One large file up and down: Martlet, rclone, aws s3 cp."""

import argparse
import hashlib
import os
import re
import sys
from pathlib import Path

import importlib.metadata

from harness import machine
from harness.figures import medians, number, table, write_json
from harness.processes import Failure, run
from harness.servers import Servers, end_on_signals

BUCKET = "martlet"
MEMORY_BAR = 100e6


def strangers():
    """The user's own settings of the other tools, which must not count here: each removed."""
    return {name: None for name in os.environ if name.startswith(("AWS_", "RCLONE_"))}


class Tool:
    """A program that copies files to and from S3."""

    name = ""
    title = ""

    def __init__(self, servers, chosen):
        self.chosen = chosen
        self.servers = servers
        self.endpoint = servers.setting("MARTLET_S3_ENDPOINT")
        self.key = servers.setting("MARTLET_S3_ACCESS_KEY_ID")
        self.secret = servers.setting("MARTLET_S3_SECRET_ACCESS_KEY")

    def version(self):
        """What was measured."""
        raise NotImplementedError

    def commands(self, file, name):
        """How it stores `file` as `name`, and how it fetches it."""
        raise NotImplementedError

    def environment(self):
        """Its settings; secrets are never on a command line."""
        raise NotImplementedError


class Martlet(Tool):
    """The client that the stages use."""

    name = "martlet"
    title = "Martlet"

    def version(self):
        return machine.first_line(self.chosen.martlet, "--version")

    def environment(self):
        return {"MARTLET_STATE": str(self.servers.state)}

    def commands(self, file, name):
        address = f"s3://{BUCKET}/{name}"
        base = [self.chosen.martlet, "artifact"]
        return [*base, "put", file, address], [*base, "get", address, file]


class Rclone(Tool):
    """rclone as it comes."""

    name = "rclone"
    title = "rclone"

    def version(self):
        return machine.first_line("rclone", "version")

    def environment(self):
        return {
            **strangers(),
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_BENCH_TYPE": "s3",
            "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
            "RCLONE_CONFIG_BENCH_ENDPOINT": self.endpoint,
            "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": self.key,
            "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": self.secret,
            "RCLONE_CONFIG_BENCH_REGION": "us-east-1",
            "RCLONE_S3_NO_CHECK_BUCKET": "true",
        }

    def commands(self, file, name):
        address = f"bench:{BUCKET}/{name}"
        return ["rclone", "copyto", file, address], ["rclone", "copyto", address, file]


class Aws(Tool):
    """aws s3 cp as it comes."""

    name = "aws"
    title = "aws s3 cp"

    def version(self):
        return "aws-cli " + importlib.metadata.version("awscli")

    def environment(self):
        return {
            **strangers(),
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def commands(self, file, name):
        address = f"s3://{BUCKET}/{name}"
        base = [sys.executable, "-m", "awscli", "--endpoint-url", self.endpoint, "s3", "cp", "--quiet"]
        return [*base, file, address], [*base, address, file]


TOOLS = {tool.name: tool for tool in (Martlet, Rclone, Aws)}


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--martlet", required=True, type=Path)
    parser.add_argument("--json", required=True)
    parser.add_argument("--size", type=int, default=1_024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default=",".join(TOOLS))
    chosen = parser.parse_args()
    chosen.names = [name for name in chosen.only.split(",") if name]
    if not chosen.names or any(name not in TOOLS for name in chosen.names):
        parser.error(f"--only takes {', '.join(TOOLS)}, with commas")
    if chosen.size < 1 or chosen.runs < 1:
        parser.error("--size and --runs are at least 1")
    return chosen


def make_file(path, mebibytes):
    """A file of random bytes, which nothing can compress; its digest."""
    digest = hashlib.sha256()
    with open(path, "wb") as sink:
        for _ in range(mebibytes):
            block = os.urandom(1 << 20)
            digest.update(block)
            sink.write(block)
        sink.flush()
        os.fsync(sink.fileno())
    return digest.hexdigest()


def digest_of(path):
    """SHA-256 of a file."""
    with open(path, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def one_run(tool, file, digest, folder, attempt):
    """Up, down, compare."""
    copy = folder / f"{tool.name}.copy"
    # A name of its own: rclone does not send what is there already.
    name = f"bench/{tool.name}-{attempt}"
    # What the tool before this one has left to be written is not this one's load.
    os.sync()
    put, _ = tool.commands(str(file), name)
    _, get = tool.commands(str(copy), name)
    up = run(f"{tool.title} up", put, tool.environment())
    down = run(f"{tool.title} down", get, tool.environment())
    if digest_of(copy) != digest:
        raise Failure(f"{tool.title} fetched other bytes than it stored")
    copy.unlink()
    row = {}
    for name, done in (("up", up), ("down", down)):
        row |= {f"{name}_seconds": done.seconds, f"{name}_cpu": done.cpu, f"{name}_peak_mb": done.peak_rss / 1e6}
    print(f"  {tool.title}: up {up.seconds:.2f} s, down {down.seconds:.2f} s", flush=True)
    return row


def measure(servers, chosen):
    """All figures of all tools, one run of each in turn, so that a busy minute hits all of them."""
    file = servers.folder / "file"
    digest = make_file(file, chosen.size)
    tools = [TOOLS[name](servers, chosen) for name in chosen.names]
    rows = {tool.name: [] for tool in tools}
    for attempt in range(chosen.runs):
        for tool in tools[attempt % len(tools) :] + tools[: attempt % len(tools)]:
            rows[tool.name].append(one_run(tool, file, digest, servers.folder, attempt))
    return {
        tool.name: {
            "title": tool.title,
            "version": re.sub(r"\s+", " ", tool.version()),
            **medians(rows[tool.name]),
            "runs": rows[tool.name],
        }
        for tool in tools
    }


def judge(results):
    """How Martlet does against the faster of the others, and its memory."""
    others = [figures for name, figures in results.items() if name != "martlet"]
    if "martlet" not in results:
        return {}
    own = results["martlet"]
    verdicts = {}
    print()
    for way in ("up", "down"):
        if others:
            best = min(figures[f"{way}_seconds"] for figures in others)
            met = own[f"{way}_seconds"] <= best
            verdicts[f"{way}_seconds"] = {"value": own[f"{way}_seconds"], "at most": best, "met": met}
            print(f"{'met    ' if met else 'NOT MET'}  {way}: {own[f'{way}_seconds']:.2f} s (at most {best:.2f} s)")
        met = own[f"{way}_peak_mb"] * 1e6 < MEMORY_BAR
        verdicts[f"{way}_peak_mb"] = {"value": own[f"{way}_peak_mb"], "under": MEMORY_BAR / 1e6, "met": met}
        print(f"{'met    ' if met else 'NOT MET'}  {way}: {own[f'{way}_peak_mb']:.1f} MB (under {MEMORY_BAR / 1e6:g} MB)")
    return verdicts


def main():
    """Measures, shows, writes; 1 when a bar is not met."""
    chosen = options()
    end_on_signals()
    facts = machine.facts()
    with Servers(chosen.martlet, ["seaweedfs"]) as servers:
        results = measure(servers, chosen)
    facts["load_after"] = machine.facts()["load_before"]
    print(f"\n{facts['cores']} cores of {facts['cpu']}, {facts['system']}, {facts['date']}, load {facts['load_before']}")
    print(f"{chosen.size:,} MiB, medians of {chosen.runs}, SeaweedFS on the same machine\n")
    head = ["", "up s", "MiB/s", "CPU s", "peak MB", "down s", "MiB/s", "CPU s", "peak MB"]
    rows = []
    for figures in results.values():
        row = [figures["title"]]
        for way in ("up", "down"):
            seconds = figures[f"{way}_seconds"]
            row += [number(seconds, 2), number(chosen.size / seconds, 0)]
            row += [number(figures[f"{way}_cpu"], 2), number(figures[f"{way}_peak_mb"], 1)]
        rows.append(row)
    print(table(head, rows) + "\n")
    for figures in results.values():
        print(f"{figures['title']}: {figures['version']}")
    verdicts = judge(results)
    write_json(
        chosen.json,
        {"machine": facts, "mebibytes": chosen.size, "runs": chosen.runs, "tools": results, "bars": verdicts},
    )
    print(f"\nwritten to {chosen.json}")
    return 0 if all(verdict["met"] for verdict in verdicts.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"bench-artifacts: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
