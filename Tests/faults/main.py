"""Runs scenarios one after another on one stack and says which of them held."""

import argparse
import json
import signal
import sys
import time
import traceback
from pathlib import Path

import scenarios
from checks import Failed
from receiver import Receiver
from stack import Stack


def options():
    """The command line."""
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__)
    parser.add_argument("--program", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--root", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--data", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--weights", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help="print the names of the scenarios")
    parser.add_argument("--steps", type=int, default=6, help="steps of a training that need not be good")
    parser.add_argument("--seed", type=int, default=None, help="of the random moments; printed, so that it can be repeated")
    parser.add_argument("--keep-up", action="store_true", help="leave the stack running at the end")
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help="; ".join(["all", *scenarios.ALL]))
    chosen = parser.parse_args()
    if chosen.list:
        print("\n".join(scenarios.ALL))
        sys.exit(0)
    if not chosen.names:
        parser.error("name scenarios, or all")
    for name in chosen.names:
        if name != "all" and name not in scenarios.ALL:
            parser.error(f"there is no scenario {name}; there are {', '.join(scenarios.ALL)}")
    if "all" in chosen.names:
        chosen.names = list(scenarios.ALL)
    return chosen


def run(name, stack):
    """One scenario: its row of the table."""
    print(f"\n== {name}", flush=True)
    began = time.monotonic()
    figures, problem = {}, None
    try:
        figures = scenarios.ALL[name](stack) or {}
    except Failed as error:
        problem = str(error)
    except Exception as error:  # pylint: disable=broad-except
        problem = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    finally:
        stack.settle()
    seconds = round(time.monotonic() - began, 1)
    print(f"   {'FAILED: ' + problem if problem else 'passed'} after {seconds} s", flush=True)
    return {"scenario": name, "passed": problem is None, "seconds": seconds, "problem": problem, "figures": figures}


def table(rows):
    """For people."""
    print(f"\n{'SCENARIO':<12} {'RESULT':<7} {'TOOK':>8}  FIGURES")
    for row in rows:
        words = row["problem"] or ", ".join(f"{key} {value}" for key, value in row["figures"].items())
        print(f"{row['scenario']:<12} {'pass' if row['passed'] else 'FAIL':<7} {row['seconds']:>6} s  {words}")


def main():
    """All chosen scenarios; 0 when every one of them held."""
    chosen = options()
    # A stack that nobody stops would stay: both signals end this process through its scopes.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    rows = []
    with Receiver() as receiver, Stack(chosen, receiver) as stack:
        for name in chosen.names:
            rows.append(run(name, stack))
            (chosen.folder / "results.json").write_text(json.dumps(rows, indent=2) + "\n")
    table(rows)
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
