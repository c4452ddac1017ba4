"""What a command draws on a real terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent


def on_a_terminal(columns: int, *words: str) -> bytes:
    """All that `orchestrator` with these words has written to its terminal; it ends with 0 and says nothing besides."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": str(columns)}
    command = [sys.executable, "-m", "orchestrator", *words]
    with subprocess.Popen(command, env=environment, stdout=theirs, stdin=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        written = b""
        with suppress(OSError):  # what a terminal says when the last program has left it
            while read := os.read(ours, 10_000):
                written += read
        os.close(ours)
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    return written
