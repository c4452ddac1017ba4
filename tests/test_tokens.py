"""A failing schedule as a file that replays elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from command_line import CHECKOUT
from planted_bugs import claimed_twice

from orchestrator import DeclarationError
from orchestrator.simulation import tokens
from orchestrator.simulation.choosers import Choice
from orchestrator.simulation.playing import play
from orchestrator.simulation.schedules import Schedule, Settings, drawn
from orchestrator.simulation.tokens import Token

CHOICES = {3: Choice(1), 9: Choice(warp=True), 12: Choice(2, stall=1.25), 13: Choice(0, stall=0.1 + 0.2)}

#: Replays a saved schedule in a process of its own; run in the folder of the tests.
REPLAY = """
import sys
from pathlib import Path
from planted_bugs import claimed_twice
from orchestrator.simulation.playing import play
from orchestrator.simulation.tokens import Token

token = Token.load(Path(sys.argv[1]))
played = play(claimed_twice(), token.schedule.chooser(), token.schedule.settings.seed)
print(played.digest == token.digest, str(played.error) == token.sentence)
"""


def token(choices: dict[int, Choice] = CHOICES, seed: int = 17, **fields: Any) -> Token:
    settings = Settings(seed=seed, way="walk", warp=0.3, stall=0.03, slowness=3.0, faulty=True)
    return Token(
        team="team.py:team",
        message="Wo kommt das her? \u202e",
        options={"model": "rehearsal", "workers": 2, "docs": None, "faults": True, "slowness": 0.5},
        schedule=Schedule.of(settings, choices),
        promise="P1",
        sentence="lost acknowledged insert <w2:t13> in block domain_knowledge",
        digest="3735ea8de3257389",
        **fields,
    )


def test_what_was_saved_is_loaded(tmp_path: Path):
    path = token().save(tmp_path / "17.json")
    assert Token.load(path) == token()
    assert Token.load(path).schedule.chooser().choose(12, [1, 2, 3], timers=True) == CHOICES[12]


def test_choices_are_short_rows_and_all_else_can_be_read_by_a_person(tmp_path: Path):
    path = token(version="0.1.0", python="3.11.7").save(tmp_path / "17.json")
    assert path.read_text(encoding="ascii") == (
        "{\n"
        '  "type": "schedule",\n'
        '  "format": 1,\n'
        '  "version": "0.1.0",\n'
        '  "python": "3.11.7",\n'
        '  "team": "team.py:team",\n'
        '  "message": "Wo kommt das her? \\u202e",\n'
        '  "options": {"model": "rehearsal", "workers": 2, "docs": null, "faults": true, "slowness": 0.5},\n'
        '  "schedule": {\n'
        '    "settings": {"seed": 17, "way": "walk", "warp": 0.3, "stall": 0.03, "slowness": 3.0, "faulty": true},\n'
        '    "choices": [[3,1],[9,0,1],[12,2,0,1.25],[13,0,0,0.30000000000000004]]\n'
        "  },\n"
        '  "promise": "P1",\n'
        '  "sentence": "lost acknowledged insert <w2:t13> in block domain_knowledge",\n'
        '  "block": null,\n'
        '  "of": "",\n'
        '  "digest": "3735ea8de3257389"\n'
        "}\n"
    )


def test_a_thousand_choices_take_a_few_kilobytes(tmp_path: Path):
    path = token({step: Choice(step % 3 + 1) for step in range(1, 1001)}).save(tmp_path / "17.json")
    assert path.stat().st_size < 10_000


def test_a_token_is_saved_by_its_seed_in_a_folder_that_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert token().save() == Path(".orchestrator/sim/17.json") == Token.place(17)
    assert token(seed=18).save() == Path(".orchestrator/sim/18.json")
    assert Token.load(Token.place(18)).schedule.settings.seed == 18


def test_one_that_is_there_is_overwritten(tmp_path: Path):
    path = tmp_path / "17.json"
    token().save(path)
    token({}).save(path)
    assert Token.load(path).schedule.choices == ()


def test_it_says_which_versions_it_was_saved_with(monkeypatch: pytest.MonkeyPatch):
    assert token().python == ".".join(map(str, sys.version_info[:3]))

    def not_there(name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(tokens, "version", lambda name: f"7.8.9 of {name}")
    assert token().version == "7.8.9 of sharedblocks"
    monkeypatch.setattr(tokens, "version", not_there)
    assert token().version == "(not installed)"


def test_a_token_can_be_told_as_json_and_made_of_it_again():
    assert Token.model_validate_json(token().model_dump_json()) == token()


def edited(change: Callable[[dict[str, Any]], Any]) -> str:
    fields = json.loads(token().model_dump_json())
    change(fields)
    return json.dumps(fields)


def rows(*choices: Any) -> str:
    return edited(lambda fields: fields["schedule"].update(choices=choices))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not JSON: EOF while parsing"),
        ("{'type': 'schedule'}", "is not JSON: "),
        ("[" * 100_000, "is not JSON: "),
        ('{"type": "schedule", "format": NaN}', "is not JSON: "),
        ("[1, 2]", "is no saved schedule, but something else in JSON"),
        ('{"type": "team", "format": 1}', "is no saved schedule, but something else in JSON"),
        ('{"type": "schedule"}', "is no saved schedule, but something else in JSON"),
        (edited(lambda fields: fields.update(format=0)), "is broken: format: Input should be 1"),
        (edited(lambda fields: fields.pop("digest")), "is broken: digest: Field required"),
        (edited(lambda fields: fields.update(options={"model": ["a"]})), "is broken: options.model"),
        (edited(lambda fields: fields.update(schedule=3)), "is broken: schedule: "),
        (edited(lambda fields: fields["schedule"].pop("settings")), "is broken: schedule: "),
        (edited(lambda fields: fields["schedule"]["settings"].update(way="run")), "is broken: schedule.way: "),
        (edited(lambda fields: fields["schedule"].pop("choices")), "has no list of choices"),
        (rows([3, 1], 4), "choice 2 is no row of step, pick, warp and stall"),
        (rows([]), "choice 1 is no row"),
        (rows([1, 1, 0, 0, 0]), "choice 1 is no row"),
        (rows([0, 1]), "choice 1 is [0, 1]: no step of a schedule is like that"),
        (rows([1, -1]), "no step of a schedule is like that"),
        (rows([1.5, 1]), "no step of a schedule is like that"),
        (rows([True, 1]), "no step of a schedule is like that"),
        (rows([1, 0, 2]), "no step of a schedule is like that"),
        (rows([1, 0, 0, -1]), "choice 1 is held back for -1, which is no time"),
        (rows([1, 0, 0, True]), "choice 1 is held back for True, which is no time"),
        (rows([1, 0, 0, "1"]), "choice 1 is held back for '1', which is no time"),
        (rows([1, 0, 0, 1]).replace("0, 1]", "0, 1e999]"), "choice 1 is held back for inf, which is no time"),
    ],
)
def test_a_file_that_is_no_token_is_refused_with_the_reason(tmp_path: Path, text: str, problem: str):
    path = tmp_path / "17.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError) as raised:
        Token.load(path)
    assert str(raised.value).startswith(f"schedule {str(path)!r}: ")
    assert problem in str(raised.value)


def test_a_token_of_a_newer_version_says_which_one_is_needed(tmp_path: Path):
    path = tmp_path / "17.json"
    path.write_text(edited(lambda fields: fields.update(format=2, version="4.5.6", schedule={})), encoding="utf-8")
    with pytest.raises(DeclarationError, match=r"saved by sharedblocks 4\.5\.6, in format 2; .* knows format 1"):
        Token.load(path)


def test_a_file_that_is_not_there_or_cannot_be_read_or_written_is_told(tmp_path: Path):
    with pytest.raises(DeclarationError, match="is not there"):
        Token.load(tmp_path / "1.json")
    with pytest.raises(DeclarationError, match="cannot be read: Is a directory"):
        Token.load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DeclarationError, match="cannot be saved: "):
        token().save(tmp_path / "file" / "1.json")


def test_a_real_failure_replays_from_its_file_in_another_process(tmp_path: Path):
    scene = claimed_twice()
    for seed in range(1, 100):
        settings = drawn(seed)
        played = play(scene, settings.chooser(), seed)
        if isinstance(played.error, AssertionError):
            break
    else:
        raise AssertionError
    failed = Token(
        message="go",
        schedule=Schedule.of(settings, played.choices),
        promise="claimed once",
        sentence=str(played.error),
        digest=played.digest,
    )
    path = failed.save(tmp_path / "failed.json")

    assert str(CHECKOUT) not in path.read_text()
    assert str(Path.home()) not in path.read_text()
    replayed = subprocess.run(
        [sys.executable, "-c", REPLAY, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests")])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert replayed.stdout.split() == ["True", "True"]
