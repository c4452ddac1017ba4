"""What makes one schedule what it is: everything that is drawn from its seed, and what was chosen at each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field

from orchestrator.environment import Environment
from orchestrator.records import Record
from orchestrator.simulation.choosers import Choice, Chooser, InOrder, Nemesis, Priorities, Repeat, Walk

Way = Literal["in_order", "walk", "priorities"]

#: How often each is drawn. Fired early, timers find the bugs of agents that are hardly ever ready together, and cost
#: nothing elsewhere; being held back finds others, and is drawn less often, since it makes schedules longer.
_WAYS: Final[tuple[Way, ...]] = ("walk", "walk", "walk", "walk", "priorities")
_WARPS: Final = (0.0, 0.1, 0.3)
_STALLS: Final = (0.0, 0.0, 0.03)
_SLOWNESS: Final = (0.0, 0.1, 1.0, 1.0, 3.0)


class Settings(Record):
    """What is drawn for a schedule before it begins. Seed 0 is the plainest one: nobody is early, late or at fault."""

    seed: int = Field(ge=0)
    way: Way = "in_order"
    #: How likely it is, at each step, that the next timer fires first, and that who was picked is held back.
    warp: float = Field(default=0.0, ge=0, le=1)
    stall: float = Field(default=0.0, ge=0, le=1)
    #: What models take is this many times what was measured.
    slowness: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    #: Whether models, tools and processes fail.
    faulty: bool = False

    def chooser(self) -> Chooser:
        """Who decides, at every step, who goes on."""
        seed = f"{self.way} {self.seed}"
        chooser: Chooser
        match self.way:
            case "walk":
                chooser = Walk(seed)
            case "priorities":
                chooser = Priorities(seed)
            case _:
                chooser = InOrder()
        if self.warp or self.stall:
            chooser = Nemesis(chooser, f"nemesis {self.seed}", self.warp, self.stall)
        return chooser


def drawn(seed: int, *, faulty: bool = False) -> Settings:
    """The settings of the schedule with this seed.

    Args:
        faulty: whether things may go wrong; in two of three schedules they do.
    """
    if seed == 0:
        return Settings(seed=0)
    random = Environment.seeded(f"settings {seed}")
    return Settings(
        seed=seed,
        way=random.choice(_WAYS),
        warp=random.choice(_WARPS),
        stall=random.choice(_STALLS),
        slowness=random.choice(_SLOWNESS),
        faulty=faulty and random.random() < 2 / 3,
    )


class Taken(Record):
    """What was chosen at one step, where that was not simply the first."""

    step: int = Field(ge=1)
    pick: int = Field(default=0, ge=0)
    warp: bool = False
    stall: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class Schedule(Record):
    """A schedule that can be played again: what was drawn, and what was chosen. All else follows from the code."""

    settings: Settings
    choices: tuple[Taken, ...]

    @classmethod
    def of(cls, settings: Settings, choices: Mapping[int, Choice]) -> Schedule:
        """As it was played."""
        taken = (Taken(step=step, **choice._asdict()) for step, choice in choices.items())
        return cls(settings=settings, choices=tuple(taken))

    def chooser(self) -> Chooser:
        """Chooses again what was chosen."""
        return Repeat((taken.step, Choice(taken.pick, taken.warp, taken.stall)) for taken in self.choices)
