"""Text files as sentences, each with its file, its line, and the headings that it stands below."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_LARGEST_FILE: Final = 2_000_000
_BREAK: Final = re.compile(r"""(?<=[.!?])["'”’)\]*_`]*\s(?=[^\sa-z])|(?<=[。！？])[”』」]*\s?""")  # noqa: RUF001
_ABBREVIATED: Final = re.compile(r"\b(?:[A-Z]|Mrs?|Ms|Dr|Prof|St|Mt|vs|e\.g|i\.e|approx|ca|cf|No|Fig|pp?|Jr|Sr)\.$")
_NEWLINE: Final = re.compile(r"\r\n?")
_FENCE: Final = re.compile(r"(`{3,}|~{3,})[^`]*$")
_HEADING: Final = re.compile(r"(#{1,6})\s+(.*?)[\s#]*$")
_UNDERLINE: Final = re.compile(r"([^\w\s|])\1{2,}$")
_COLUMNS: Final = 7  # the head of a table is below all headings
_ITEM: Final = re.compile(r"(?:[-*+•]|(\d{1,3})[.)])\s+")


class Hit(NamedTuple):
    """A sentence that was found, and the line where it begins."""

    file: str
    line: int
    sentence: str


class Sentence(NamedTuple):
    hit: Hit
    above: str  # the file's name, the headings above, the table's head
    is_heading: bool


class Found(NamedTuple):
    """What the files of a folder hold."""

    sentences: list[Sentence]
    #: Files that are not in UTF-8, and in which line: what they have in other letters cannot be found.
    garbled: dict[str, int]


def sentences(folder: Path, part: int = 0, of: int = 1) -> Found:
    """The sentences of the *.md, *.txt and *.rst files below a folder; or of one file in `of`, from number `part` on.

    Hidden files and files over 2 MB are left out.
    """
    found = Found([], {})
    for path in list(_files(folder))[part::of]:
        reader = _Reader(folder, path)
        found.sentences.extend(reader.sentences)
        if reader.garbled is not None:
            found.garbled[reader.file] = reader.garbled
    return found


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.suffix.lower() not in (".md", ".txt", ".rst") or not path.is_file():
            continue
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.stat().st_size <= _LARGEST_FILE:
            yield path


class _Reader:
    """One file, line by line: which lines belong together, and under which headings."""

    def __init__(self, folder: Path, path: Path) -> None:
        self.sentences: list[Sentence] = []
        self.file = path.relative_to(folder).as_posix().encode("utf-8", "replace").decode()
        #: The first line that is not in UTF-8, if there is one.
        self.garbled: int | None = None
        self._above = {0: Path(self.file).stem}  # by level
        self._lines: list[tuple[int, str]] = []  # not yet known to be complete
        self._numbered = False  # they are an item of a numbered list
        self._fence = ""
        for number, line in enumerate(self._text_of(path).split("\n"), 1):
            self._take(number, " ".join(line.split()))
        self._end()

    def _text_of(self, path: Path) -> str:
        raw = path.read_bytes()
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.garbled = error.object.count(b"\n", 0, error.start) + 1
            text = raw.decode("utf-8-sig", "replace")
        return _NEWLINE.sub("\n", text).replace("\0", "\ufffd")

    def _take(self, number: int, line: str) -> None:
        if self._fence:
            if line.startswith(self._fence) and not line.strip(self._fence[0]):
                self._fence = ""
            else:
                self._add(number, line)
            return
        line = re.sub(r"^(?:> ?)+", "", line)
        if line.startswith("|") or " | " in line:
            self._row(number, line)
            return
        self._above.pop(_COLUMNS, None)
        if heading := _HEADING.match(line):
            self._end()
            self._head(len(heading[1]), number, heading[2])
        elif underline := _UNDERLINE.match(line):
            self._underlined(line, underline[1])
        elif fence := _FENCE.match(line):
            self._end()
            self._fence = fence[1]
        elif line:
            self._text(number, line)
        else:
            self._end()

    def _underlined(self, line: str, mark: str) -> None:
        """A rule, or what makes a heading of the single line above it."""
        if len(self._lines) == 1 and (mark in "=-" or self.file.endswith(".rst")):
            (above,) = self._lines
            self._lines = []
            self._head("=-".find(mark) + 1 or 3, *above)
        elif mark in "`~" and not self.file.endswith(".rst"):
            self._end()
            self._fence = line
        else:
            self._end()

    def _text(self, number: int, line: str) -> None:
        item = _ITEM.match(line)
        # As in Markdown: "300. " amid a paragraph is a number that was wrapped; only a list goes on with one.
        if item and (item[1] in (None, "1") or self._numbered or not self._lines):
            self._end()
            self._numbered = item[1] is not None
            line = line[item.end() :]
        self._lines.append((number, line))

    def _row(self, number: int, line: str) -> None:
        self._end()
        if self.sentences and not any(map(str.isalnum, line)):  # the line below the names of the columns
            self._above[_COLUMNS] = self.sentences[-1].hit.sentence
        self._add(number, line)

    def _head(self, level: int, number: int, text: str) -> None:
        self._above = {above: title for above, title in self._above.items() if above < level}
        self._add(number, text, is_heading=True)
        self._above[level] = text

    def _end(self) -> None:
        """What was gathered is complete: split it into sentences."""
        text, starts = "", []
        for _, line in self._lines:
            starts.append(len(text))
            text += line + " "
        begin = 0
        for end in [*(m.end() for m in _BREAK.finditer(text)), len(text)]:
            if end == len(text) or not _ABBREVIATED.search(text[max(begin, end - 12) : end].rstrip()):
                self._add(self._lines[bisect_right(starts, begin) - 1][0] if starts else 0, text[begin:end].strip())
                begin = end
        self._lines, self._numbered = [], False

    def _add(self, number: int, text: str, is_heading: bool = False) -> None:
        if any(map(str.isalnum, text)):
            above = " ".join(self._above.values())
            self.sentences.append(Sentence(Hit(self.file, number, text), above, is_heading))
