"""Latencies are what was recorded of real calls: the shipped parameters are fitted again, and draws compared."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import NormalDist, fmean, pstdev
from typing import Any, Final, NamedTuple

import pytest

from orchestrator import DeclarationError
from orchestrator.simulation.latency import ALL, PROVIDERS, Fit, Latency, LogNormal

RECORDED: Final = Path(__file__).parent.parent.parent / "shared" / "data" / "llm_calls_recorded.csv"

#: In what is recorded, the hosts of the providers.
HOSTS: Final = {
    "openai": "api.openai.com",
    "gemini": "generativelanguage.googleapis.com",
    "anthropic": "api.anthropic.com",
    "groq": "api.groq.com",
}

#: Fewer calls than this do not tell two distributions from one.
ENOUGH: Final = 100

SHARES: Final = (0.05, 0.5, 0.9, 0.99)


class Fitted(NamedTuple):
    parts: list[LogNormal]
    criterion: float


def recorded(provider: str | None) -> list[float]:
    """The logarithms of the recorded seconds, in order."""
    if not RECORDED.exists():
        pytest.skip(f"the recorded calls, which are not ours to ship, are not here: {RECORDED}")
    with RECORDED.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    wanted = [each for each in rows if provider is None or each["provider"] == HOSTS[provider]]
    return sorted(math.log(float(each["server_ms"]) / 1000) for each in wanted)


def normals(parts: list[LogNormal] | tuple[LogNormal, ...]) -> list[tuple[float, NormalDist]]:
    total = sum(part.weight for part in parts)
    return [(part.weight / total, NormalDist(math.log(part.median), part.sigma)) for part in parts]


def mixed(times: list[float], count: int) -> Fitted:
    """So many log-normals, by expectation and maximisation, from the sorted times cut into as many pieces."""
    size = len(times)
    pieces = [times[n * size // count : (n + 1) * size // count] for n in range(count)]
    parts = [LogNormal(math.exp(fmean(piece)), pstdev(times) / count, 1 / count) for piece in pieces]
    for _ in range(1 if count == 1 else 500):
        found = normals(parts)
        chances = [[weight * normal.pdf(time) for weight, normal in found] for time in times]
        chances = [[chance / sum(each) for chance in each] for each in chances]
        parts = []
        for number in range(count):
            mine = [each[number] for each in chances]
            middle = sum(share * time for share, time in zip(mine, times, strict=True)) / sum(mine)
            spread = sum(share * (time - middle) ** 2 for share, time in zip(mine, times, strict=True)) / sum(mine)
            parts.append(LogNormal(math.exp(middle), math.sqrt(spread), sum(mine) / size))
    found = normals(parts)
    likelihood = sum(math.log(sum(weight * normal.pdf(time) for weight, normal in found)) for time in times)
    return Fitted(parts, (3 * count - 1) * math.log(size) - 2 * likelihood)


def distance(fit: Fit, times: list[float]) -> float:
    found, size = normals(fit.parts), len(times)

    def below(time: float) -> float:
        return sum(weight * normal.cdf(time) for weight, normal in found)

    return max(max((n + 1) / size - below(time), below(time) - n / size) for n, time in enumerate(times))


def quantile(values: list[float], share: float) -> float:
    place = share * (len(values) - 1)
    return values[int(place)] + (values[math.ceil(place)] - values[int(place)]) * (place % 1)


def drawn(latency: Latency, count: int = 20_000) -> list[float]:
    random = Random(7)
    return sorted(latency.draw(random) for _ in range(count))


@pytest.mark.parametrize("provider", [None, *PROVIDERS])
def test_the_shipped_parameters_are_what_the_recorded_calls_give(provider: str | None) -> None:
    times, fit = recorded(provider), ALL if provider is None else PROVIDERS[provider]
    one, two = mixed(times, 1), mixed(times, 2)

    chosen = two if two.criterion < one.criterion and len(times) >= ENOUGH else one
    assert len(times) == fit.calls
    assert len(fit.parts) == len(chosen.parts)
    for shipped, fitted in zip(fit.parts, chosen.parts, strict=True):
        assert shipped == pytest.approx(fitted, abs=0.001)
    assert distance(fit, times) == pytest.approx(fit.distance, abs=0.0006)


@pytest.mark.parametrize(
    ("provider", "far"),
    [(None, 0.1), ("openai", 0.25), ("gemini", 0.2), ("anthropic", 0.5), ("groq", 0.9)],
)
def test_what_is_drawn_has_the_recorded_quantiles(provider: str | None, far: float) -> None:
    times, sample = recorded(provider), drawn(Latency.recorded(provider))

    for share in SHARES:
        # The fewer calls, the less their ends tell: of 16 calls, p5 and p99 are the first and the last.
        assert quantile(sample, share) == pytest.approx(math.exp(quantile(times, share)), rel=far)


def test_the_distance_is_that_of_a_right_distribution_but_for_chance() -> None:
    for fit in (ALL, *PROVIDERS.values()):
        assert fit.distance < 1.36 / math.sqrt(fit.calls)


# From here on without the data.


@pytest.mark.parametrize(
    ("latency", "quantiles"),
    [
        (Latency.recorded(), (0.26, 1.29, 6.96, 29.96)),
        (Latency.recorded("anthropic"), (0.65, 2.04, 4.96, 10.24)),
        (Latency.recorded("anthropic").scaled(10), (6.5, 20.4, 49.6, 102.4)),
        (Latency([LogNormal(3.0)]), (3, 3, 3, 3)),
        (Latency([LogNormal(1.0), LogNormal(5.0, weight=9)]), (1, 5, 5, 5)),
        (Latency([LogNormal(3.0, 1.0)], least=3, most=4), (3, 3, 4, 4)),
        (Latency.none(), (0, 0, 0, 0)),
    ],
)
def test_draws_have_the_quantiles_of_the_distribution(latency: Latency, quantiles: tuple[float, ...]) -> None:
    sample = drawn(latency)

    assert [quantile(sample, share) for share in SHARES] == pytest.approx(quantiles, rel=0.07)


def test_no_draw_is_beyond_the_bounds_and_the_cap_is_two_minutes_by_default() -> None:
    everything = drawn(Latency([LogNormal(100.0, 2.0)]).scaled(100), 2000)
    slow = drawn(Latency([LogNormal(100.0, 2.0)]), 2000)

    assert 0 < everything[0] < everything[-1] == 12_000  # the cap grows with everything else
    assert slow[-1] == slow[-100] == 120
    assert drawn(Latency([LogNormal(1e-9)], least=0.5), 10) == [0.5] * 10
    assert drawn(Latency(least=0.5), 10) == [0.5] * 10


def test_draws_are_whole_microseconds() -> None:
    for time in drawn(Latency.recorded(), 100):
        assert time == round(time, 6)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Latency.recorded("acme"), "no calls of 'acme' are recorded; there are some of openai, gemini, anth"),
        (lambda: Latency(LogNormal(2.0)), r"as its parts; give a list of LogNormal"),
        (lambda: Latency(2.0), r"has 2.0 as its parts; give a list of LogNormal"),  # type: ignore[arg-type]
        (lambda: Latency([LogNormal(0)]), "the median of a part is 0; give seconds, more than 0"),
        (lambda: Latency([LogNormal(1, 0, 0)]), "the weight of a part is 0; give its share, more than 0"),
        (lambda: Latency([LogNormal(1, -1)]), "the sigma of a part is -1; give 0 to 10"),
        (lambda: Latency([LogNormal(1, math.nan)]), "the sigma of a part is nan; give 0 to 10"),
        (lambda: Latency(least=-1), r"between -1 and 120.0 seconds; give bounds of 0 or more, the least first"),
        (lambda: Latency(least=2, most=1), "is between 2 and 1 seconds; give bounds"),
        (lambda: Latency(most=math.inf), "is between 0.0 and inf seconds; give bounds"),
        (lambda: Latency.recorded().scaled(0), "its factor is 0; give how many times as long, more than 0"),
    ],
)
def test_what_is_no_latency_is_refused(make: Callable[[], Any], why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        make()
