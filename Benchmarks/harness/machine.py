"""What the figures were measured on."""

import datetime
import os
import platform
import subprocess
import time

from harness.processes import cpu_seconds


def facts():
    """Cores, processor, memory, kernel, load and date."""
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as source:
        for line in source:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo", encoding="utf-8") as source:
        memory = int(source.readline().split()[1]) * 1024
    return {
        "cores": os.cpu_count(),
        "cpu": model,
        "memory_bytes": memory,
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "load_before": [round(value, 2) for value in os.getloadavg()],
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def busy_seconds():
    """CPU time that processes of this machine took, and that other machines took from it, over all cores."""
    with open("/proc/stat", encoding="utf-8") as source:
        user, nice, system, *_, steal, _, _ = (int(word) for word in source.readline().split()[1:])
    return (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")


def first_line(*command):
    """The first line that a program prints, such as its version."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    text = (done.stdout or done.stderr).strip()
    return text.splitlines()[0] if text else "unknown"


class Strangers:
    """Who else had the processor, which tells what the figures are worth."""

    def __init__(self):
        self.began, self.busy, self.own = time.monotonic(), busy_seconds(), cpu_seconds([os.getpid()])

    def share(self):
        """Of one core's time since the beginning: what went to processes that are not of this run."""
        busy, own = busy_seconds() - self.busy, cpu_seconds([os.getpid()]) - self.own
        return max(0.0, busy - own) / (time.monotonic() - self.began)
