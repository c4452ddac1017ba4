"""Name every file of an environment that Python would run at each start, and that we do not know.

Lines of a `.pth` file that begin with `import` are run when Python starts, whatever it was started for, and so are
`sitecustomize` and `usercustomize`: malicious releases of packages that we depend on used both. A file we know is
known by its name, its owner, and the hash that its owner's RECORD has of it.

    python -I -S .ci/check_pth.py path/to/environment

Run it with another Python than the environment's own, and with -S: then nothing of what it looks for runs.
"""

from __future__ import annotations

import csv
import sys
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path

#: Each file that may run code at start, and the distribution it comes with.
KNOWN = {
    "distutils-precedence.pth": "setuptools",  # lets setuptools stand in for distutils
    "a1_coverage.pth": "coverage",  # measures child processes; does nothing unless COVERAGE_PROCESS_* is set
}
STARTED_BY_NAME = {"sitecustomize", "usercustomize"}


def unexpected(site_packages: Path) -> list[str]:
    """A sentence for each file there that runs at start and is not known."""
    found = []
    for path in sorted(site_packages.iterdir()):
        if path.name.partition(".")[0] in STARTED_BY_NAME:
            found.append(f"{path.name} is run whenever Python starts")
        elif path.suffix == ".pth" and path.name not in KNOWN:
            found.append(f"{path.name} is not a known .pth file")
        elif path.suffix == ".pth" and not _is_its_owners(path, KNOWN[path.name]):
            found.append(f"{path.name} is not the file that came with {KNOWN[path.name]}")
    return found


def _is_its_owners(path: Path, owner: str) -> bool:
    digest = urlsafe_b64encode(sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
    for record in path.parent.glob(f"{owner}-*.dist-info/RECORD"):
        with record.open(newline="", encoding="utf-8") as lines:
            if any(row[:2] == [path.name, f"sha256={digest}"] for row in csv.reader(lines)):
                return True
    return False


def main(environment: str) -> int:
    """Print what is unexpected in an environment; 1 when there is something."""
    places = [*Path(environment).glob("lib/python*/site-packages"), *Path(environment).glob("Lib/site-packages")]
    if not places:
        print(f"there is no site-packages in {environment!r}")
        return 1
    found = [sentence for place in places for sentence in unexpected(place)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
