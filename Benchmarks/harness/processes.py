"""Child processes that are always stopped, and what the kernel says they cost."""

import contextlib
import os
import select
import signal
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def merged(changes):
    """This process's environment with some variables set, or removed where the value is None."""
    everything = {**os.environ, **(changes or {})}
    return {name: value for name, value in everything.items() if value is not None}


class Failure(Exception):
    """A benchmark cannot go on; the message says why and what to do."""


class Child:
    """A process in a group of its own, with its output in a file."""

    def __init__(self, name, command, log, environment=None):
        self.name = name
        self.log = Path(log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.started = time.monotonic()
        self._begin = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as sink:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=merged(environment),
                start_new_session=True,
            )
        self.pid = self.process.pid

    def output(self):
        """What it wrote so far."""
        with open(self.log, "rb") as source:
            source.seek(self._begin)
            return source.read().decode(errors="replace")

    def await_ready(self, test, limit=60.0, pause=0.002):
        """Asks `test` until it says yes; the seconds since the start."""
        while True:
            if test(self):
                return time.monotonic() - self.started
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() - self.started > limit:
                raise Failure(f"{self.name} is not ready after {limit:.0f} s:\n{self.tail()}")
            time.sleep(pause)

    def tail(self, lines=15):
        """The end of its output."""
        return "\n".join(self.output().splitlines()[-lines:])

    @contextlib.contextmanager
    def halted(self):
        """Nothing of it runs in the scope."""
        try:
            os.killpg(self.pid, signal.SIGSTOP)
            yield
        finally:
            os.killpg(self.pid, signal.SIGCONT)

    def stop(self, grace=20.0):
        """SIGTERM, then SIGKILL to the whole group."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def kill(self):
        """SIGKILL to the whole group, without a word."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Finished:
    """What a command wrote and cost."""

    def __init__(self, output, seconds, cpu, peak_rss):
        self.output = output
        self.seconds = seconds
        self.cpu = cpu
        self.peak_rss = peak_rss


def run(name, command, environment=None, limit=900.0):
    """Runs a command to its end; its standard output, time, CPU seconds and peak memory in bytes."""
    began = time.monotonic()
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=write_end,
        env=merged(environment),
        start_new_session=True,
    )
    os.close(write_end)
    chunks = []
    try:
        while True:
            left = began + limit - time.monotonic()
            ready, _, _ = select.select([read_end], [], [], max(left, 0))
            if not ready:
                raise Failure(f"{name} did not end within {limit:.0f} s")
            chunk = os.read(read_end, 1 << 16)
            if not chunk:
                break
            chunks.append(chunk)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        os.close(read_end)
    seconds = time.monotonic() - began
    if process.returncode != 0:
        raise Failure(f"{name} ended with {process.returncode}; its message is above")
    output = b"".join(chunks).decode(errors="replace")
    return Finished(output, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _stat(pid):
    """Parent and CPU ticks, its own and those of children that ended; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[1]), sum(int(field) for field in fields[11:15])


def tree(pids):
    """The processes and all below them."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = _stat(int(entry))
            if stat:
                parents[int(entry)] = stat[0]
    found = set()
    rest = [pid for pid in pids if pid in parents]
    while rest:
        pid = rest.pop()
        if pid not in found:
            found.add(pid)
            rest.extend(child for child, parent in parents.items() if parent == pid)
    return found


def cpu_seconds(pids):
    """CPU time of processes and all below them, over all threads, those that ended included."""
    stats = (_stat(pid) for pid in tree(pids))
    return sum(stat[1] for stat in stats if stat) / TICKS


def memory(pids):
    """Resident bytes of processes and all below them: (as ps counts, shared pages counted once)."""
    resident = proportional = 0
    for pid in tree(pids):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in text.splitlines():
            if line.startswith("Rss:"):
                resident += int(line.split()[1]) * 1024
            elif line.startswith("Pss:"):
                proportional += int(line.split()[1]) * 1024
    return resident, proportional


def peak_memory(pids):
    """The most resident bytes that processes and all below them ever had, as if all had them at once."""
    peak = 0
    for pid in tree(pids):
        try:
            text = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in text.splitlines():
            if line.startswith("VmHWM:"):
                peak += int(line.split()[1]) * 1024
    return peak
