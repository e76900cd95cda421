"""``python -m martlet_stages COMMAND --spec FILE``.

Exit codes: 0 after a ``result`` event, 1 after an ``error`` event, 2 for a wrong command line,
75 (EX_TEMPFAIL) after a ``released`` event.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback

from . import __version__
from .events import EventStream
from .failures import Released, StageFailure, is_out_of_memory, out_of_memory, unexpected
from .parent import watch_parent
from .runtime import StopRequest, default_threads, prepare_environment
from .spec import Spec

# The module of each command; imported only once the environment is set, as they import PyTorch.
COMMANDS = {
    "preprocess": "preprocess",
    "train": "train",
    "evaluate": "evaluate",
    "import-model": "import_model",
    "read-parquet": "read_parquet",
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="martlet_stages", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        commands.add_parser(name).add_argument("--spec", required=True, metavar="FILE")
    locate = commands.add_parser("locate", help="print where a package of the demo keeps its files")
    locate.add_argument("what", choices=("smollm2", "cwe"))
    options = parser.parse_args(arguments)
    if options.command == "locate":
        from .locate import locate as find

        return find(options.what)
    return run(options.command, options.spec)


def run(command: str, spec_path: str) -> int:
    events = EventStream.take_standard_output()
    stop = StopRequest()
    stop.install()
    watch_parent()
    try:
        spec = Spec.load(spec_path)
        threads = spec.integer("threads", default_threads(), low=1, high=1024)
        prepare_environment(threads, offline=command != "import-model")
        module = importlib.import_module(f".{COMMANDS[command]}", __package__)
        output = module.run(spec, events, stop)
        events.emit("result", output=output)
        return 0
    except Released:
        events.emit("released")
        return 75
    except StageFailure as failure:
        print(f"{failure.kind} {failure.code}: {failure.message}", file=sys.stderr, flush=True)
        events.emit("error", **failure.event())
        return 1
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        failure = out_of_memory(error) if is_out_of_memory(error) else unexpected(error)
        events.emit("error", **failure.event())
        return 1


if __name__ == "__main__":
    sys.exit(main())
