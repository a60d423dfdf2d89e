"""What every rule of binding uses: problems, variables, conditions."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from headrace.pql.errors import Advice, Problem, ProblemCode, problem_at
from headrace.pql.names import Names
from headrace.pql.scope import Scope
from headrace.pql.syntax import Syntax
from headrace.pql.tree import NOWHERE, ArrayPath, Bound, Constant, Exists, IsTrue, Literal, Predicate, Span, Variable, item_type
from headrace.pql.types import ANY, AnyType, ArrayType, BooleanType, PqlType, StringType, is_number


class BinderCore(ABC):
    """Binds one query and collects its problems; a part that cannot be bound becomes a null of any type."""

    def __init__(self, names: Names, text: str, node_paths: Mapping[int, str] | None) -> None:
        self.names = names
        self.problems: list[Problem] = []
        self.advice: list[Advice] = []
        self._text = text
        self._node_paths = node_paths
        self._slots = 0

    def refuse(self, code: ProblemCode, span: Span, message: str, replacement: str | None = None) -> Literal:
        """Record a problem; return what stands in for the part."""
        path = None if self._node_paths is None else self._node_paths.get(span.start, "$")
        self.problems.append(problem_at(self._text, code, span, message, replacement=replacement, node_path=path))
        return Literal(None, ANY, span=span)

    def refuse_condition(self, code: ProblemCode, span: Span, message: str) -> Predicate:
        """Record a problem; return what stands in for the condition."""
        self.refuse(code, span, message)
        return Constant(False, span=span)

    def advise(self, code: str, span: Span, message: str) -> None:
        """Record a warning."""
        self.advice.append(Advice(code, span, message))

    def new_variable(self, name: str, of: PqlType, span: Span = NOWHERE) -> Variable:
        """Return a variable with a slot that no other has; the end of binding renumbers them."""
        self._slots += 1
        return Variable(self._slots, name, of, span=span)

    @abstractmethod
    def value(self, node: Syntax, scope: Scope) -> Bound:
        """Bind an expression, whatever its type."""

    @abstractmethod
    def condition(self, node: Syntax, scope: Scope) -> Bound:
        """Bind an expression in boolean position."""

    def as_condition(self, value: Bound) -> Bound:
        """Make a predicate of a value: null is false, an array means "not empty"."""
        if isinstance(value, Predicate):
            return value
        if isinstance(value, Literal) and isinstance(value.value, bool):
            return Constant(value.value, span=value.span)
        if isinstance(value, ArrayPath) and isinstance(value.type.item, BooleanType):
            return self.any_element(value, IsTrue)
        match value.result:
            case BooleanType() | AnyType():
                return IsTrue(value, span=value.span)
            case ArrayType():
                return self.any_element(value, lambda _: Constant(True))
            case other:
                return self.refuse_condition(ProblemCode.TYPE, value.span, f"A condition must be boolean, this is {other.name}.")

    def any_element(self, array: Bound, test: Callable[[Variable], Bound]) -> Bound:
        """Return "some item of the array passes the test"."""
        variable = self.new_variable("_item", item_type(array))
        return Exists(array, variable, test(variable), span=array.span)

    def each(self, subject: Bound, test: Callable[[Bound], Bound]) -> Bound:
        """Apply a positive test: to the value, or for an array to any of its elements."""
        return self.any_element(subject, test) if isinstance(subject.result, ArrayType) else test(subject)

    def number(self, node: Bound, demand: str) -> Bound:
        """Return the node when it is a number; else record why not."""
        if is_number(node.result):
            return node
        hint = " Use sum, max or a filter to get one." if isinstance(node.result, ArrayType) else ""
        return self.refuse(ProblemCode.TYPE, node.span, f"{demand}, got {node.result.name}.{hint}")

    def string(self, node: Bound, what: str) -> Bound:
        """Return the node when it is a string; else record that ``what`` is none."""
        if isinstance(node.result, StringType | AnyType):
            return node
        return self.refuse(ProblemCode.TYPE, node.span, f"{what} must be a string, got {node.result.name}.")
