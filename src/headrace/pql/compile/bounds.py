"""Bounds of time ranges that move with the clock, and the instant at which one of them passes a given time.

A bound is a non-decreasing function of now, so that the instant at which it passes a time exists at most once and can be
found by bisection; for the common form, now plus a fixed distance, it is a subtraction.
"""

from dataclasses import dataclass

from headrace.pql.compile.instants import LAST_MS, shift, start_of
from headrace.pql.tree import Bound, Literal, Now, Shift, StartOf, StartOfDay, Unit, walk


@dataclass(frozen=True, slots=True)
class MovingBound:
    """A bound: a base (now, the start of a calendar unit, or a constant) and shifts from it.

    Attributes:
        base_unit: None for now itself; the unit whose start is the base otherwise.
        base_offset: Units by which that start is moved.
        constant_ms: The bound itself when it does not move.
        shifts: (amount, unit), applied in order.
    """

    base_unit: Unit | None
    base_offset: int
    constant_ms: int | None
    shifts: tuple[tuple[int, Unit], ...]

    @property
    def moves(self) -> bool:
        """Whether the bound depends on now."""
        return self.constant_ms is None

    @property
    def distance_ms(self) -> int | None:
        """The fixed distance from now (negative: before it), None when it depends on the calendar or does not move."""
        if self.base_unit is not None or not self.moves:
            return None
        total = 0
        for amount, unit in self.shifts:
            if unit.fixed_ms is None:
                return None
            total += amount * unit.fixed_ms
        return total

    def at(self, now_ms: int) -> int:
        """Return the bound at an instant."""
        if self.constant_ms is not None:
            value = self.constant_ms
        else:
            value = now_ms if self.base_unit is None else start_of(now_ms, self.base_unit, self.base_offset)
        for amount, unit in self.shifts:
            value = shift(value, amount, unit)
        return value

    def passes(self, time_ms: int, now_ms: int, *, beyond: bool) -> int | None:
        """Return the first instant after ``now_ms`` at which the bound reaches (``beyond``: exceeds) ``time_ms``.

        None when it has already done so, or never will.
        """
        if not self.moves:
            return None
        distance = self.distance_ms
        if distance is not None:
            instant = time_ms - distance + (1 if beyond else 0)
            return instant if instant > now_ms else None
        target = time_ms + (1 if beyond else 0)
        if self.at(now_ms) >= target:
            return None
        step, high = 60_000, now_ms
        while self.at(high) < target:
            high += step
            step *= 2
            if high > LAST_MS:
                return None
        low = max(now_ms, high - step // 2)
        while high - low > 1:
            middle = (low + high) // 2
            if self.at(middle) >= target:
                high = middle
            else:
                low = middle
        return high

    def longest_ms(self) -> int | None:
        """Return the farthest that the bound can lie before now, None when it does not follow now."""
        if not self.moves:
            return None
        back = 0
        if self.base_unit is not None:
            back += (1 - self.base_offset) * _length_ms(self.base_unit)
        for amount, unit in self.shifts:
            back -= amount * _length_ms(unit)
        return max(0, back)


def _length_ms(unit: Unit) -> int:
    return unit.fixed_ms if unit.fixed_ms is not None else unit.months * 31 * 86_400_000


def moving_bound(node: Bound) -> MovingBound | None:
    """Return the bound that an expression is, None when it is something else."""
    shifts: list[tuple[int, Unit]] = []
    while True:
        if isinstance(node, Shift):
            shifts.append((node.amount, node.unit))
            node = node.instant
        elif isinstance(node, StartOfDay) and isinstance(node.instant, Now):
            return MovingBound(Unit.DAY, 0, None, tuple(reversed(shifts)))
        elif isinstance(node, Now):
            return MovingBound(None, 0, None, tuple(reversed(shifts)))
        elif isinstance(node, StartOf):
            return MovingBound(node.unit, node.offset, None, tuple(reversed(shifts)))
        elif isinstance(node, Literal) and isinstance(node.value, int):
            return MovingBound(None, 0, node.value, tuple(reversed(shifts)))
        else:
            return None


def depends_on_now(node: Bound) -> bool:
    """Whether the value of an expression can change with time alone."""
    return any(isinstance(item, (Now, StartOf)) for item in walk(node))
