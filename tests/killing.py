"""Programs of the tests that are killed while they work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path


def lived(program: str, folder: Path, seconds: float | None) -> bool:
    """Let a process work, for so many seconds after it is ready; whether it had to be killed."""
    command = [sys.executable, str(Path(__file__).parent / program), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            process.wait(timeout=seconds if seconds is not None else 60)
        except subprocess.TimeoutExpired:
            assert seconds is not None, "a run that is not killed ends"
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        assert process.returncode in (0, -signal.SIGKILL)
        return process.returncode != 0
