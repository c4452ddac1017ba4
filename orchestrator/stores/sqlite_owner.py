"""Whether anybody has the file of a `SQLiteStore` open to write."""

from __future__ import annotations

import fcntl
import os


def is_owned(path: str | os.PathLike[str]) -> bool | None:
    """Whether a living process has the file open to write; None where that cannot be told.

    It knocks at the owner's lock, for some microseconds: who wants to own the file in these is refused.
    """
    try:
        descriptor = os.open(f"{os.path.abspath(path)}-owner", os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)
    return False
