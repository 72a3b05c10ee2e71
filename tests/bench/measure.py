# SPDX-License-Identifier: Apache-2.0
"""One measured number, beside its aim and the way it was taken."""

import operator
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

_BETTER: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


@dataclass(frozen=True)
class Measure:
    """`aim` is a comparison and a number (`>= 3000`), or empty where nobody set one."""

    name: str
    value: float
    unit: str
    aim: str
    how: str

    @property
    def met(self) -> bool | None:
        """Tell whether the aim is met; None without one."""
        if not self.aim:
            return None
        comparison, number = self.aim.split()
        return _BETTER[comparison](self.value, float(number))


def median_of(runs: int, once: Callable[[], float]) -> float:
    """Return the median of `runs` values of `once`."""
    return statistics.median(once() for _ in range(runs))


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
