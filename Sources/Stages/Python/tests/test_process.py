"""The contract with the worker: streams, exit codes, error events."""

import json
import os
import subprocess
import sys

import support


def command(tmp_path, code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(support.ROOT)},
    )  # fmt: skip


def test_stray_output_never_reaches_the_stream(tmp_path, preprocess):
    """Prints from Python, writes to descriptor 1 and a child's output all land in the log."""
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(preprocess(tmp_path / "out"), default=str))
    code = (
        "import os, subprocess, sys\n"
        "from martlet_stages import split\n"
        "from martlet_stages.__main__ import main\n"
        "real = split.split\n"
        "def noisy(*arguments):\n"
        "    print('stray print'); os.write(1, b'stray write'); subprocess.run(['echo', 'stray child'])\n"
        "    return real(*arguments)\n"
        "import martlet_stages.preprocess as preprocess\n"
        "preprocess.split = noisy\n"
        "sys.exit(main(['preprocess', '--spec', sys.argv[1]]))\n"
    )
    process = command(tmp_path, code, str(spec))
    output, log = process.communicate(timeout=240)
    events = [json.loads(line) for line in output.decode().splitlines()]
    assert process.returncode == 0 and events[-1]["event"] == "result"
    assert b"stray" not in output
    for words in (b"stray print", b"stray write", b"stray child"):
        assert words in log


def test_an_unexpected_error_is_retryable_and_says_where(tmp_path):
    spec = tmp_path / "spec.json"
    spec.write_text("{}")
    code = (
        "import sys\n"
        "import martlet_stages.read_parquet as command\n"
        "from martlet_stages.__main__ import main\n"
        "def broken(*_): raise KeyError('surprise')\n"
        "command.run = broken\n"
        "sys.exit(main(['read-parquet', '--spec', sys.argv[1]]))\n"
    )
    process = command(tmp_path, code, str(spec))
    output, log = process.communicate(timeout=240)
    (event,) = [json.loads(line) for line in output.decode().splitlines()]
    assert process.returncode == 1
    assert (event["event"], event["class"], event["code"]) == ("error", "retryable", "unexpected")
    assert "surprise" in event["message"] and event["details"]["file_line"].endswith(":4")
    assert b"Traceback" in log


def test_a_bad_specification_is_permanent(tmp_path):
    for content, problem in ((b"{", "is not JSON"), (b"[]", "must be a JSON object"), (b"{}", "field 'file' is missing")):
        path = tmp_path / "spec.json"
        path.write_bytes(content)
        process = command(
            tmp_path, "import sys; from martlet_stages.__main__ import main; sys.exit(main(sys.argv[1:]))",
            "read-parquet", "--spec", str(path),
        )  # fmt: skip
        code, events = support.finish(process)
        assert code == 1 and events[-1]["class"] == "permanent" and problem in events[-1]["message"]


def test_locate_prints_the_demos_files():
    for what, end in (("smollm2", ".gguf"), ("cwe", "database_v49")):
        result = subprocess.run(
            [sys.executable, "-m", "martlet_stages", "locate", what], capture_output=True, text=True, check=True,
            cwd=support.ROOT,
        )  # fmt: skip
        path = result.stdout.strip()
        assert path.endswith(end) and os.path.exists(path)


def test_the_threads_are_the_administrators_or_the_processors(monkeypatch):
    from martlet_stages.runtime import default_threads

    processors = len(os.sched_getaffinity(0))
    for value, threads in (("3", 3), ("2,1", 2), ("", processors), ("0", processors), ("many", processors)):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert default_threads() == threads
