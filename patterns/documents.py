"""Answers from a folder of text files: sentences quoted with file and line, or a plain "nothing found"."""

from __future__ import annotations

import logging
import math
import re
import sqlite3
import threading
import unicodedata
import weakref
from pathlib import Path
from typing import Final, NamedTuple

from orchestrator import DeclarationError, Tool, shipped, tool
from patterns.sentences import Hit, sentences

_LOG: Final = logging.getLogger(__name__)

_NAMED: Final = 3
_LONGEST_QUERY: Final = 1_000
_LONGEST_QUOTE: Final = 600

_ENOUGH: Final = 0.6  # of the query's weight
_NEAR_BEST: Final = 0.8  # of the best sentence's coverage
# A word in a heading counts less than one in the sentence, but more than _ENOUGH: else "The capital is Quux." under
# "# Zorblia" would be lost in a large folder, where the name weighs nearly everything.
_FROM_ABOVE: Final = 0.7
_UNKNOWN: Final = 2  # what occurs nowhere weighs double, lest a few rare words outvote it

_COMMON: Final = """
a about after all also am an and any are as at be been before being between but by can can't could describe did do
does done exactly explain find for from get give had happen happened happens has have he help helps her hers him his
how i if in information into is it its just know let list long many may me mean means might mine much must my no not
of on onto or our ours over please say shall she should show so some such tell than that the their theirs them then
there these they this those to too under up upon us very was we were what when where whether which while who whom
whose why will with won't would you your yours
"""
_STOP: Final = frozenset(_COMMON.split())
_CONTRACTED: Final = re.compile(r"(?:n't|'(?:s|re|ve|ll|d|m))$", re.IGNORECASE)
_IDEOGRAPH: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


class Findings(NamedTuple):
    """What a search found, best first."""

    hits: list[Hit]
    #: The words of the query that were looked for: those that are not too common to tell anything.
    words: list[str]
    #: Those of them that occur in no document.
    unknown: list[str]


class Documents:
    """The sentences of the *.md, *.txt and *.rst files in a folder; read at the first search, and only then.

    Hidden files and files over 2 MB are left out; of files that are not in UTF-8 the log tells. Several threads may
    search at once.
    """

    def __init__(self, folder: str | Path, *, part: int = 0, of: int = 1) -> None:
        self.folder = Path(folder).absolute()
        self._part, self._of = part, of
        if not self.folder.is_dir():
            where = "" if Path(folder).is_absolute() else f"; looked for in {str(Path.cwd())!r}"
            raise DeclarationError("documents", f"{str(folder)!r} is not a folder{where}")
        # Protects the index: one thread makes it, and one at a time uses its connection.
        self._lock = threading.Lock()
        self._index: _Index | None = None

    def search(self, query: str, most: int = 3) -> list[Hit]:
        """The sentences that hold the words of the query, at most so many; none rather than a doubtful one."""
        return self.look_up(query, most).hits

    def look_up(self, query: str, most: int = 3) -> Findings:
        """As `search`, and says also what was looked for and what is not there at all."""
        with self._lock:
            if self._index is None:
                self._index = _Index(self.folder, self._part, self._of)
            return self._index.look_up(query, most)

    def answer(self, query: str, most: int = 3) -> str:
        """As a model reads it: a line `file:line: sentence` for each hit, or one that begins "Nothing found"."""
        hits, words, unknown = self.look_up(query, most)
        if hits:
            return "\n".join(f"{file}:{line}: {_shortened(sentence)}" for file, line, sentence in hits)
        if self._index is not None and not self._index.sentences:
            return f"Nothing found: there are no documents in {self.folder.name!r}."
        if not words:
            return "Nothing found: the query has only common words. Say what it is about."
        if unknown:
            return f"Nothing found. No document mentions {', '.join(map(repr, unknown))}.{self._unread()}"
        return (
            f"Nothing found. All the words occur in the documents, but no sentence has enough of them.{self._unread()}"
        )

    def _unread(self) -> str:
        files = list(self._index.garbled) if self._index is not None else []
        more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
        return f" Not all could be read of {', '.join(map(repr, files[:_NAMED]))}{more}." if files else ""


def search_documents(folder: str | Path | None = None, *, part: int = 0, of: int = 1) -> Tool:
    """The tool `search_documents(query)` over a folder of text files, or over the examples that come with us.

    With `of` it knows one file in so many, from number `part` on: so specialists share the documents out.
    """
    documents = Documents(shipped("documents") if folder is None else folder, part=part, of=of)

    def search_documents(query: str) -> str:
        """Search the documents with a question or with keywords; names matter most.

        The answer is up to three sentences, quoted word for word as `file:line: sentence`, or that nothing was
        found, and which words occur in no document.
        """
        return documents.answer(query)

    return tool(search_documents)


class _Word(NamedTuple):
    text: str
    is_name: bool


def _words(query: str) -> list[_Word]:
    """The content words of a query, each once. What '-', '_', '.' or an apostrophe joins is one word."""
    query = unicodedata.normalize("NFC", query[:_LONGEST_QUERY]).replace("’", "'")  # noqa: RUF001
    spaced = "".join(c if c in "-_.'" or unicodedata.category(c)[0] in "LNM" else " " for c in query)
    found: dict[str, _Word] = {}
    for match in re.finditer(r"\S+", spaced):
        text = match[0].strip("-_.'")
        bare = _CONTRACTED.sub("", text)
        if bare and not {text.lower(), bare.lower()} & _STOP:
            begins = query[: match.start()].rstrip()[-1:] in ("", *".!?:;")
            found.setdefault(bare.lower(), _Word(bare, bare[0].isupper() and not begins))
    if all(word.text[0].isupper() for word in found.values()):  # Where All Are Capitals, They Tell No Names
        return [_Word(word.text, is_name=False) for word in found.values()]
    return list(found.values())


class _Places(NamedTuple):
    """The sentences, by number, that have a word in them, and with their bm25 all that have it in or above them."""

    within: set[int]
    anywhere: dict[int, float]


class _Index:
    """All sentences of a folder, and a full-text index that forgets the text and keeps the words."""

    def __init__(self, folder: Path, part: int, of: int) -> None:
        self.sentences, self.garbled = sentences(folder, part, of)
        for file, line in self.garbled.items():
            problem = "%r in %r is not in UTF-8 (line %d), so words there with letters such as é are not found"
            _LOG.warning(problem, file, folder.name, line)
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self._database.close)
        self._database.execute(
            "CREATE VIRTUAL TABLE word USING fts5(within, above, content='', tokenize='porter unicode61')"
        )
        rows = ((n, _apart(hit.sentence), _apart(above)) for n, (hit, above, _) in enumerate(self.sentences))
        self._database.executemany("INSERT INTO word(rowid, within, above) VALUES (?, ?, ?)", rows)

    def look_up(self, query: str, most: int) -> Findings:
        words = _words(query)
        places = [self._places(word.text) for word in words]
        weights = [self._weight(place) for place in places]
        names = [word.is_name or self._is_name(word.text, p.within) for word, p in zip(words, places, strict=True)]
        ranked = []
        for row in sorted(set[int]().union(*(place.within for place in places))):
            own = _FROM_ABOVE if self.sentences[row].is_heading else 1.0
            found = [own if row in p.within else _FROM_ABOVE if row in p.anywhere else 0.0 for p in places]
            coverage = sum(map(float.__mul__, weights, found)) / sum(weights)
            named = all(strength for name, strength in zip(names, found, strict=True) if name)
            # Two words of three, too: by weight alone a rare name would do without what is asked about it.
            if coverage >= _ENOUGH and named and 3 * sum(map(bool, found)) >= 2 * len(words):
                ranked.append((-round(coverage, 9), sum(p.anywhere.get(row, 0.0) for p in places), row))
        ranked.sort()
        near = [row for coverage, _, row in ranked[:most] if coverage <= _NEAR_BEST * ranked[0][0]]
        unknown = [word.text for word, place in zip(words, places, strict=True) if not place.anywhere]
        return Findings([self.sentences[row].hit for row in near], [word.text for word in words], unknown)

    def _places(self, word: str) -> _Places:
        phrase = '"' + _apart(word) + '"'  # a word has no quotation mark, so nothing in it is syntax
        ask = self._database.execute
        within = ask("SELECT rowid FROM word WHERE word MATCH ?", (f"within : {phrase}",))
        anywhere = ask("SELECT rowid, bm25(word, 1, 0.5) FROM word WHERE word MATCH ?", (phrase,))
        return _Places({row for (row,) in within}, dict(anywhere.fetchall()))

    def _is_name(self, word: str, rows: set[int]) -> bool:
        """Whether the documents write it with a capital wherever they have it: people search in lower case, too."""
        written = re.compile(re.escape(word), re.IGNORECASE)
        firsts = (match[0][0] for row in rows for match in written.finditer(self.sentences[row].hit.sentence))
        return next(firsts, "").isupper() and all(map(str.isupper, firsts))

    def _weight(self, places: _Places) -> float:
        """The inverse document frequency, as BM25 has it, but never zero."""
        n = len(places.anywhere)
        return math.log(1 + (len(self.sentences) - n + 0.5) / (n + 0.5)) * (1 if n else _UNKNOWN)


def _apart(text: str) -> str:
    """Scripts without spaces get some: each ideograph becomes a word, and a word of several a phrase."""
    return _IDEOGRAPH.sub(r" \g<0> ", text)


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= _LONGEST_QUOTE else sentence[: _LONGEST_QUOTE - 1] + "…"
