"""A stage of a test's pipeline: writes down that it ran, takes its time, fails when it is told to.

    stage.py JOURNAL SECONDS [NEEDED_FILE]

Without the needed file it ends with exit code 1.

Every attempt leaves two lines in the journal, `begin RUN STAGE ATTEMPT PID` and `end …`, appended whole.
"""

import json
import os
import sys
import time


def note(journal, word):
    """One line, in one write."""
    line = f"{word} {os.environ['MARTLET_RUN']} {os.environ['MARTLET_STAGE']} {os.environ['MARTLET_ATTEMPT']} {os.getpid()}\n"
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def main():
    """The stage; its exit code."""
    journal, seconds = sys.argv[1], float(sys.argv[2])
    note(journal, "begin")
    print(f"working for {seconds} s", flush=True)
    time.sleep(seconds)
    if len(sys.argv) > 3 and not os.path.exists(sys.argv[3]):
        print(f"there is no {sys.argv[3]}", file=sys.stderr, flush=True)
        return 1
    with open(os.path.join(os.environ["MARTLET_OUTPUT"], "values.json"), "w", encoding="utf-8") as file:
        json.dump({"attempt": int(os.environ["MARTLET_ATTEMPT"]), "pid": os.getpid()}, file)
    note(journal, "end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
