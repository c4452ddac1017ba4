"""An async function, such as a test, under many schedules: whatever teams it runs are simulated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from orchestrator.errors import DeclarationError
from orchestrator.ports import Store
from orchestrator.simulation.choosers import Chooser
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.exploring import Performance
from orchestrator.simulation.judging import flaws_of
from orchestrator.simulation.playing import play
from orchestrator.simulation.schedules import Schedule, Settings


class Body:
    """Plays schedules of a function, and judges them.

    Args:
        function: is called once in each schedule, and has to make anew what it changes.
        passed_on: what it may raise that ends more than a schedule.
    """

    def __init__(
        self, function: Callable[[], Awaitable[object]], passed_on: tuple[type[BaseException], ...] = ()
    ) -> None:
        self._function = function
        self._passed_on = passed_on
        #: What the schedule before has used.
        self._stores: list[Store] = []

    def __call__(self, settings: Settings, chooser: Chooser | None = None) -> Performance:
        """Play one, as it was drawn, or with other choices.

        `DeclarationError` if a store is used that the schedule before has used.
        """
        played = play(self._scene, chooser or settings.chooser(), settings.seed)
        if isinstance(played.error, self._passed_on):
            raise played.error
        self._check_stores([witness.store for witness in played.environment.witnesses])
        return Performance(played, flaws_of(played))

    def again(self, schedule: Schedule) -> Performance:
        """Play one that was written down."""
        return self(schedule.settings, schedule.chooser())

    async def _scene(self, environment: SimulatedEnvironment) -> None:
        await self._function()

    def _check_stores(self, stores: Iterable[Store]) -> None:
        stores = list(stores)
        known = next((store for store in stores if any(store is other for other in self._stores)), None)
        if known is not None:
            name = type(known).__name__
            raise DeclarationError(
                "a simulated test", f"uses a {name} that was there before it; make a new one in the test, each time"
            )
        self._stores = stores
