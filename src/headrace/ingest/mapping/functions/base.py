"""How a function of the expression language is declared and called."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from headrace.ingest.mapping.errors import MappingInvalid, TransformFailed

Plain = Callable[..., Any]
F = TypeVar("F", bound=Plain)


class Function(msgspec.Struct, frozen=True):
    """A function that expressions can call.

    Attributes:
        call_plain: What it does.
        least: Fewest arguments.
        most: Most arguments; None when there is no limit.
        takes_nulls: Whether it is called at all when a required argument is null; else it gives null.
        is_lazy: Whether it gets its arguments as functions without parameters.
        takes_path: Whether its one argument is a path that is looked at, not a value.
        takes_lambda: Whether its second argument is written ``x -> expression`` and called for each item.
    """

    call_plain: Plain
    least: int
    most: int | None
    takes_nulls: bool = False
    is_lazy: bool = False
    takes_path: bool = False
    takes_lambda: bool = False

    def check_count(self, name: str, count: int) -> None:
        """Refuse a wrong number of arguments.

        Raises:
            MappingInvalid: It takes fewer or more.
        """
        if count < self.least or (self.most is not None and count > self.most):
            wanted = str(self.least) if self.least == self.most else f"{self.least} to {self.most or 'any number'}"
            raise MappingInvalid(f"{name}() takes {wanted} arguments, not {count}.")

    def call(self, name: str, arguments: Sequence[Any]) -> Any:
        """Return the function's value.

        Raises:
            TransformFailed: An argument has the wrong type or value.
        """
        if not self.takes_nulls and not self.is_lazy and any(value is None for value in arguments[: self.least]):
            return None
        try:
            return self.call_plain(*arguments)
        except TransformFailed as error:
            raise TransformFailed(f"{name}(): {error.message}", expected=error.expected, actual=error.actual) from error
        except (TypeError, ValueError, AttributeError, OverflowError, LookupError, RecursionError) as error:
            # Functions are written for arguments of the right type; anything else ends here.
            raise TransformFailed(f"{name}() cannot take these arguments.") from error


class Library(dict[str, Function]):
    """Functions by name."""

    def add(
        self,
        *names: str,
        takes_nulls: bool = False,
        is_lazy: bool = False,
        takes_path: bool = False,
        takes_lambda: bool = False,
    ) -> Callable[[F], F]:
        """Declare the decorated function under these names; its signature says how many arguments it takes."""

        def declare(plain: F) -> F:
            least, most = _counts(plain)
            for name in names:
                self[name] = Function(plain, least, most, takes_nulls, is_lazy, takes_path, takes_lambda)
            return plain

        return declare


def _counts(plain: Plain) -> tuple[int, int | None]:
    parameters = list(inspect.signature(plain).parameters.values())
    places = [each for each in parameters if each.kind is not inspect.Parameter.VAR_POSITIONAL]
    least = sum(each.default is inspect.Parameter.empty for each in places)
    return least, len(places) if len(places) == len(parameters) else None


def text(value: Any) -> str:
    """Return a text argument.

    Raises:
        TransformFailed: It is no text.
    """
    if isinstance(value, str):
        return value
    raise _wrong("STRING", value)


def items(value: Any) -> list[Any]:
    """Return a list argument.

    Raises:
        TransformFailed: It is no list.
    """
    if isinstance(value, list):
        return value
    raise _wrong("ARRAY", value)


def members(value: Any) -> dict[str, Any]:
    """Return an object argument.

    Raises:
        TransformFailed: It is no object.
    """
    if isinstance(value, dict):
        return value
    raise _wrong("OBJECT", value)


def whole(value: Any) -> int:
    """Return a whole number argument.

    Raises:
        TransformFailed: It is none.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise _wrong("INTEGER", value)


def _wrong(expected: str, value: Any) -> TransformFailed:
    from headrace.ingest.mapping.conversion import type_name

    return TransformFailed("An argument has the wrong type.", expected=expected, actual=type_name(value))
