"""From bound trees to Python source: one function a query, one more for every binder in it.

Generated functions take ``p`` (the merged profile), ``k`` (what is kept of events), ``m`` (numbers of the audiences the
person is in), ``x`` (the `Moment`) and the values of enclosing variables. Names of fields appear in the source only as
``repr`` literals, constants only as ``repr`` or through the namespace: nothing of a query's text is pasted.
"""

from collections.abc import Callable, Mapping
from typing import Any

import re2

from headrace.pql import tree as t
from headrace.pql.compile import runtime
from headrace.pql.compile.bounds import depends_on_now, moving_bound
from headrace.pql.compile.instants import instant_of, instants_of, make_date, part_of, shift, start_of
from headrace.pql.compile.shared_fields import SharedFields
from headrace.pql.types import ArrayType, IntegerType, is_time

_PARAMETERS = "p, k, m, x"


class Unsupported(Exception):
    """A node that this compiler does not know."""


class Module:
    """A piece of generated source and the namespace it runs in."""

    def __init__(self, audience_numbers: Mapping[str, int]) -> None:
        self._numbers = audience_numbers
        self._lines: list[str] = []
        self._names = 0
        self.namespace: dict[str, Any] = {
            "instant_of": instant_of,
            "instants_of": instants_of,
            "make_date": make_date,
            "part_of": part_of,
            "shift": shift,
            "start_of": start_of,
            **{name: getattr(runtime, name) for name in dir(runtime) if not name.startswith("_")},
        }

    def constant(self, value: Any) -> str:
        """Return the name under which a value stands in the namespace."""
        name = self.fresh("C")
        self.namespace[name] = value
        return name

    def fresh(self, prefix: str) -> str:
        """Return a name that nothing else has."""
        self._names += 1
        return f"{prefix}{self._names}"

    def function(self, name: str, parameters: str, lines: list[str]) -> None:
        """Add a function."""
        self._lines.append(f"def {name}({parameters}):")
        self._lines.extend(f"    {line}" for line in lines)

    def query(self, predicate: t.Bound, replace: Callable[[t.Bound], str | None] = lambda node: None) -> str:
        """Add a function for a whole query and return its name.

        Args:
            predicate: The query.
            replace: Gives the source of nodes that are compiled elsewhere (what is kept of events).
        """
        name = self.fresh("q")
        self.function(name, _PARAMETERS, [f"return bool({_Expressions(self, self._numbers, replace, ()).of(predicate)})"])
        return name

    def event_condition(self, condition: t.Bound, variable: t.Variable, shared: SharedFields) -> str:
        """Return the source of a condition on an event alone, inside a function whose parameter ``event`` is the event."""
        return _Expressions(self, self._numbers, lambda node: None, (variable.slot,), shared).of(condition)

    def event_predicate(self, condition: t.Bound, variable: t.Variable) -> str:
        """Add a function of an event alone and return its name."""
        name = self.fresh("e")
        source = _Expressions(self, self._numbers, lambda node: None, (variable.slot,)).of(condition)
        self.function(name, f"v{variable.slot}", ["p = k = m = x = None", f"return {source}"])
        return name

    def build(self) -> dict[str, Any]:
        """Compile everything added so far and return the namespace."""
        code = compile("\n".join(self._lines), "<audiences>", "exec")
        exec(code, self.namespace)  # noqa: S102 - the source is ours; see the module's docstring
        return self.namespace

    @property
    def source(self) -> str:
        """The generated source, for people."""
        return "\n".join(self._lines)


class _Expressions:
    """Writes the expressions of one function."""

    def __init__(
        self,
        module: Module,
        numbers: Mapping[str, int],
        replace: Callable[[t.Bound], str | None],
        slots: tuple[int, ...],
        shared: SharedFields | None = None,
    ) -> None:
        self._module = module
        self._numbers = numbers
        self._replace = replace
        self._slots = slots
        self._shared = shared

    def of(self, node: t.Bound) -> str:
        """Return the source of an expression."""
        replaced = self._replace(node)
        if replaced is not None:
            return replaced
        writer = _WRITERS.get(type(node))
        if writer is None:
            raise Unsupported(f"{type(node).__name__} cannot be evaluated as a stream.")
        return writer(self, node)

    # --- leaves -----------------------------------------------------------------------------------------------------------

    def literal(self, node: t.Literal) -> str:
        return repr(node.value)

    def constant(self, node: t.Constant) -> str:
        return repr(node.value)

    def profile(self, node: t.Profile) -> str:
        del node
        return "p"

    def variable(self, node: t.Variable) -> str:
        return f"v{node.slot}"

    def now(self, node: t.Now) -> str:
        del node
        return "x.any_time()"

    def start(self, node: t.StartOf) -> str:
        return f"x.start({self._module.constant(node.unit)}, {node.offset})"

    def start_of_day(self, node: t.StartOfDay) -> str:
        name, inner = self._held(node.instant)
        return f"(None if ({inner}) is None else start_of({name}, {self._module.constant(t.Unit.DAY)}))"

    def shifted(self, node: t.Shift) -> str:
        name, inner = self._held(node.instant)
        unit = self._module.constant(node.unit)
        return f"(None if ({inner}) is None else shift({name}, {node.amount}, {unit}))"

    def part(self, node: t.PartOf) -> str:
        if isinstance(node.instant, t.Now):
            return f"x.part({node.part.value!r})"
        name, inner = self._held(node.instant)
        return f"(None if ({inner}) is None else part_of({name}, {node.part.value!r}))"

    def _held(self, node: t.Bound) -> tuple[str, str]:
        name = self._module.fresh("t")
        return name, f"{name} := {self.of(node)}"

    # --- fields, arrays, maps ---------------------------------------------------------------------------------------------

    def field(self, node: t.Field) -> str:
        return self._timed(self._raw_field(node), node)

    def _raw_field(self, node: t.Field) -> str:
        if self._shared is not None and (shared := self._shared.name_of(node, self._slots)) is not None:
            return shared
        if isinstance(node.object, (t.Profile, t.Variable)):
            return f"{self.of(node.object)}.get({node.name!r})"
        inner = self._raw_field(node.object) if isinstance(node.object, t.Field) else self.of(node.object)
        name = self._module.fresh("t")
        return f"({name}.get({node.name!r}) if ({name} := {inner}) is not None else None)"

    def _timed(self, source: str, node: t.Bound) -> str:
        if is_time(node.result):
            return f"instant_of({source})"
        if isinstance(node.result, ArrayType) and is_time(node.result.item):
            return f"instants_of({source})"
        return source

    def array_path(self, node: t.ArrayPath) -> str:
        source = f"flatten({self.of(node.array)}, {node.path!r})"
        return f"instants_of({source})" if is_time(node.type.item) else source

    def array_literal(self, node: t.ArrayLiteral) -> str:
        if all(isinstance(item, t.Literal) for item in node.items):
            return self._module.constant([item.value for item in node.items if isinstance(item, t.Literal)])
        return f"[{', '.join(self.of(item) for item in node.items)}]"

    def object_literal(self, node: t.ObjectLiteral) -> str:
        pairs = zip(node.names, node.values, strict=True)
        return "{" + ", ".join(f"{name!r}: {self.of(value)}" for name, value in pairs) + "}"

    def call(self, node: t.Call) -> str:
        arguments = [self.of(argument) for argument in node.arguments]
        match node.function:
            case t.Function.COUNT:
                return f"len({arguments[0]} or ())"
            case t.Function.HEAD:
                name = self._module.fresh("t")
                return f"({name}[0] if ({name} := {arguments[0]}) else None)"
            case t.Function.DISTINCT:
                return f"distinct({arguments[0]})"
            case t.Function.INTERSECTION:
                return f"intersection({arguments[0]}, {arguments[1]})"
            case t.Function.MAP_GET:
                return self._timed(f"map_get({arguments[0]}, {arguments[1]})", node)
            case t.Function.MAP_KEYS:
                return f"map_keys({arguments[0]})"
            case t.Function.MAP_VALUES:
                return self._timed(f"map_values({arguments[0]})", node)
            case t.Function.MAKE_DATE:
                return f"make_date({', '.join(arguments)})"
        raise Unsupported(f"Function {node.function} cannot be evaluated as a stream.")

    # --- binders: a function with a loop each -----------------------------------------------------------------------------

    def _binder(self, node: t.Bound, variable: t.Variable, array: t.Bound, before: list[str], loop: list[str], end: str) -> str:
        name = self._module.fresh("b")
        inner = "".join(f", v{slot}" for slot in self._slots)
        head = [*before, f"for v{variable.slot} in {self.of(array)} or ():"]
        self._module.function(name, _PARAMETERS + inner, [*head, *(f"    {line}" for line in loop), f"return {end}"])
        del node
        return f"{name}({_PARAMETERS}{inner})"

    def _within(self, *variables: t.Variable) -> "_Expressions":
        slots = tuple(dict.fromkeys((*self._slots, *(variable.slot for variable in variables))))
        return _Expressions(self._module, self._numbers, self._replace, slots)

    def exists(self, node: t.Exists) -> str:
        condition = self._within(node.variable).of(node.condition)
        loop = [f"if v{node.variable.slot} is not None and {condition}:", "    return True"]
        return self._binder(node, node.variable, node.array, [], loop, "False")

    def for_all(self, node: t.ForAll) -> str:
        condition = self._within(node.variable).of(node.condition)
        loop = [f"if v{node.variable.slot} is not None and not {condition}:", "    return False"]
        return self._binder(node, node.variable, node.array, [], loop, "True")

    def filter(self, node: t.Filter) -> str:
        condition = self._within(node.variable).of(node.condition)
        variable = f"v{node.variable.slot}"
        loop = [f"if {variable} is not None and {condition}:", f"    r.append({variable})"]
        return self._collected(node, node.variable, node.array, loop)

    def map(self, node: t.Map) -> str:
        body = self._within(node.variable).of(node.body)
        return self._collected(node, node.variable, node.array, [f"r.append({body})"])

    def flat_map(self, node: t.FlatMap) -> str:
        body = self._within(node.variable).of(node.body)
        return self._collected(node, node.variable, node.array, [f"r.extend({body} or ())"])

    def _collected(self, node: t.Bound, variable: t.Variable, array: t.Bound, loop: list[str]) -> str:
        # Null in, null out: the loop's array is looked at once, before the loop.
        name = self._module.fresh("a")
        before = ["r = []", f"{name} = {self.of(array)}", f"if {name} is None:", "    return None"]
        return self._loop_over(name, variable, before, loop, "r", node)

    def _loop_over(self, array: str, variable: t.Variable, before: list[str], loop: list[str], end: str, node: t.Bound) -> str:
        name = self._module.fresh("b")
        inner = "".join(f", v{slot}" for slot in self._slots)
        lines = [*before, f"for v{variable.slot} in {array}:", *(f"    {line}" for line in loop), f"return {end}"]
        self._module.function(name, _PARAMETERS + inner, lines)
        del node
        return f"{name}({_PARAMETERS}{inner})"

    def group_by(self, node: t.GroupBy) -> str:
        key = self._within(node.variable).of(node.key)
        array = self._module.fresh("a")
        before = ["r = {}", f"{array} = {self.of(node.array)}", f"if {array} is None:", "    return None"]
        loop = [f"g = group_key({key})", "if g is not None:", f"    r.setdefault(g, []).append(v{node.variable.slot})"]
        return self._loop_over(array, node.variable, before, loop, "r", node)

    def map_entries(self, node: t.MapEntries) -> str:
        inner = self._within(node.key_variable, node.value_variable)
        key, value = inner.of(node.key), inner.of(node.value)
        source = self._module.fresh("a")
        before = ["r = {}", f"{source} = {self.of(node.map)}", f"if {source} is None:", "    return None"]
        loop = [f"v{node.value_variable.slot} = {source}[v{node.key_variable.slot}]", f"g = {key}"]
        loop += ["if g is not None:", f"    r[g] = {value}"]
        return self._loop_over(f"sorted({source})", node.key_variable, before, loop, "r", node)

    def top_n(self, node: t.TopN) -> str:
        key = self._within(node.variable).of(node.key)
        array = self._module.fresh("a")
        before = ["r = []", f"{array} = {self.of(node.array)}", f"if {array} is None:", "    return None"]
        loop = [f"r.append(({key}, v{node.variable.slot}))"]
        end = f"top(r, {self.of(node.count)}, {node.is_bottom})"
        return self._loop_over(array, node.variable, before, loop, end, node)

    def aggregate(self, node: t.Aggregate) -> str:
        value = self._within(node.variable).of(node.value)
        is_integer = isinstance(node.type, IntegerType)
        end = f"aggregate({node.function.value!r}, r, {is_integer})"
        return self._binder(node, node.variable, node.array, ["r = []"], [f"r.append({value})"], end)

    def let(self, node: t.Let) -> str:
        name = self._module.fresh("b")
        inner = "".join(f", v{slot}" for slot in self._slots)
        body = self._within(node.variable).of(node.body)
        lines = [f"v{node.variable.slot} = {self.of(node.value)}", f"return {body}"]
        self._module.function(name, _PARAMETERS + inner, lines)
        return f"{name}({_PARAMETERS}{inner})"

    # --- numbers, conditions ----------------------------------------------------------------------------------------------

    def arithmetic(self, node: t.Arithmetic) -> str:
        is_integer = isinstance(node.type, IntegerType)
        return f"arithmetic({node.operator!r}, {self.of(node.left)}, {self.of(node.right)}, {is_integer})"

    def negate(self, node: t.Negate) -> str:
        return f"negate({self.of(node.operand)})"

    def conditional(self, node: t.If) -> str:
        return f"({self.of(node.then)} if {self.of(node.condition)} else {self.of(node.otherwise)})"

    def is_true(self, node: t.IsTrue) -> str:
        return f"({self.of(node.operand)} is True)"

    def is_null(self, node: t.IsNull) -> str:
        return f"({self.of(node.operand)} is None)"

    def conjunction(self, node: t.And) -> str:
        return "(" + " and ".join(self.of(item) for item in _cheap_first(node.operands)) + ")"

    def disjunction(self, node: t.Or) -> str:
        return "(" + " or ".join(self.of(item) for item in _cheap_first(node.operands)) + ")"

    def negation(self, node: t.Not) -> str:
        return f"(not {self.of(node.operand)})"

    def compare(self, node: t.Compare) -> str:
        moved = _as_range(node)
        if moved is not None:
            return self.time_range(moved)
        if not _is_plain(node.left) or not _is_plain(node.right):
            return self._deep_compare(node)
        operator = "==" if node.operator == "=" else node.operator
        left, held_left = self._held(node.left)
        if isinstance(node.right, t.Literal) and node.right.value is not None:
            if operator == "==":
                return f"({self.of(node.left)} == {node.right.value!r})"
            return f"(({held_left}) is not None and {left} {operator} {node.right.value!r})"
        right, held_right = self._held(node.right)
        return f"(({held_left}) is not None and ({held_right}) is not None and {left} {operator} {right})"

    def _deep_compare(self, node: t.Compare) -> str:
        left, held_left = self._held(node.left)
        right, held_right = self._held(node.right)
        negation = "not " if node.operator == "!=" else ""
        return f"(({held_left}) is not None and ({held_right}) is not None and {negation}equal({left}, {right}))"

    def string_test(self, node: t.StringTest) -> str:
        left, held_left = self._held(node.subject)
        if isinstance(node.argument, t.Literal) and isinstance(node.argument.value, str):
            wanted = node.argument.value.lower() if node.ignores_case else node.argument.value
            test = _text_test(node.test, f"{left}.lower()" if node.ignores_case else left, repr(wanted))
            return f"(({held_left}) is not None and {'not ' if node.is_negated else ''}{test})"
        right, held_right = self._held(node.argument)
        suffix = ".lower()" if node.ignores_case else ""
        test = _text_test(node.test, left + suffix, right + suffix)
        negation = "not " if node.is_negated else ""
        return f"(({held_left}) is not None and ({held_right}) is not None and {negation}{test})"

    def like(self, node: t.Like) -> str:
        if isinstance(node.pattern, t.Literal) and isinstance(node.pattern.value, str):
            name, held = self._held(node.subject)
            pattern = self._module.constant(runtime.like_pattern(node.pattern.value))
            return f"(({held}) is not None and {pattern}.fullmatch({name}) is not None)"
        return f"like({self.of(node.subject)}, {self.of(node.pattern)})"

    def matches(self, node: t.Matches) -> str:
        return f"matches({self.of(node.subject)}, {self._module.constant(re2.compile(node.pattern))})"

    def regex_group(self, node: t.RegexGroup) -> str:
        pattern = self._module.constant(re2.compile(node.pattern))
        return f"regex_group({self.of(node.subject)}, {pattern}, {node.group})"

    def contained(self, node: t.In) -> str:
        array = node.array
        if isinstance(array, t.ArrayLiteral) and all(isinstance(item, t.Literal) for item in array.items):
            members = frozenset(item.value for item in array.items if isinstance(item, t.Literal))
            name, held = self._held(node.item)
            operator = "not in" if node.is_negated else "in"
            return f"(({held}) is not None and {name} {operator} {self._module.constant(members - {None})})"
        return f"contains_item({self.of(node.item)}, {self.of(array)}, {node.is_negated})"

    def intersects(self, node: t.Intersects) -> str:
        return f"intersects({self.of(node.left)}, {self.of(node.right)})"

    def subset(self, node: t.SubsetOf) -> str:
        return f"subset_of({self.of(node.left)}, {self.of(node.right)})"

    def time_range(self, node: t.TimeRange) -> str:
        lower = moving_bound(node.lower) if node.lower is not None else None
        upper = moving_bound(node.upper) if node.upper is not None else None
        is_known = (node.lower is None or lower is not None) and (node.upper is None or upper is not None)
        if is_known and not depends_on_now(node.operand):
            item = runtime.Range(lower, upper, node.is_lower_inclusive, node.is_upper_inclusive)
            return f"{self._module.constant(item)}(x, {self.of(node.operand)})"
        parts = []
        name, held = self._held(node.operand)
        parts.append(f"({held}) is not None")
        for bound, operator in ((node.lower, _at_least(node)), (node.upper, _at_most(node))):
            if bound is not None:
                bound_name, bound_held = self._held(bound)
                parts.append(f"({bound_held}) is not None and {name} {operator} {bound_name}")
        return "(" + " and ".join(parts) + ")"

    def in_segment(self, node: t.InSegment) -> str:
        number = self._numbers.get(node.audience_id)
        return f"({number} in m)" if number is not None else "False"


def _at_least(node: t.TimeRange) -> str:
    return ">=" if node.is_lower_inclusive else ">"


def _at_most(node: t.TimeRange) -> str:
    return "<=" if node.is_upper_inclusive else "<"


def _text_test(test: t.TextTest, left: str, right: str) -> str:
    match test:
        case t.TextTest.EQUALS:
            return f"({left} == {right})"
        case t.TextTest.STARTS_WITH:
            return f"{left}.startswith({right})"
        case t.TextTest.ENDS_WITH:
            return f"{left}.endswith({right})"
        case t.TextTest.CONTAINS:
            return f"({right} in {left})"


def _is_plain(node: t.Bound) -> bool:
    return type(node.result).__name__ not in ("ArrayType", "MapType", "ObjectType", "AnyType")


def _as_range(node: t.Compare) -> t.TimeRange | None:
    """Return a comparison of a time with a bound that moves, as the range it is."""
    for side, other, operator in (
        (node.left, node.right, node.operator),
        (node.right, node.left, _MIRRORED.get(node.operator, node.operator)),
    ):
        bound = moving_bound(other)
        if bound is None or not bound.moves or depends_on_now(side):
            continue
        if operator in (">", ">="):
            return t.TimeRange(side, other, None, operator == ">=")
        if operator in ("<", "<="):
            return t.TimeRange(side, None, other, True, operator == "<=")
        if operator == "=":
            return t.TimeRange(side, other, other)
    return None


_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _cheap_first(operands: tuple[t.Bound, ...]) -> list[t.Bound]:
    """Order operands so that what needs a loop or a function comes last; their order does not change the answer."""
    return sorted(operands, key=_cost)


def _cost(node: t.Bound) -> int:
    heavy = (t.Exists, t.ForAll, t.Filter, t.Map, t.Aggregate, t.Chain, t.GroupBy, t.TopN, t.Matches)
    return sum(10 if isinstance(item, heavy) else 1 for item in t.walk(node))


_WRITERS: dict[type[t.Bound], Callable[[_Expressions, Any], str]] = {
    t.Literal: _Expressions.literal,
    t.Constant: _Expressions.constant,
    t.Profile: _Expressions.profile,
    t.Variable: _Expressions.variable,
    t.Now: _Expressions.now,
    t.StartOf: _Expressions.start,
    t.StartOfDay: _Expressions.start_of_day,
    t.Shift: _Expressions.shifted,
    t.PartOf: _Expressions.part,
    t.Field: _Expressions.field,
    t.ArrayPath: _Expressions.array_path,
    t.ArrayLiteral: _Expressions.array_literal,
    t.ObjectLiteral: _Expressions.object_literal,
    t.Call: _Expressions.call,
    t.Exists: _Expressions.exists,
    t.ForAll: _Expressions.for_all,
    t.Filter: _Expressions.filter,
    t.Map: _Expressions.map,
    t.FlatMap: _Expressions.flat_map,
    t.GroupBy: _Expressions.group_by,
    t.MapEntries: _Expressions.map_entries,
    t.TopN: _Expressions.top_n,
    t.Aggregate: _Expressions.aggregate,
    t.Let: _Expressions.let,
    t.Arithmetic: _Expressions.arithmetic,
    t.Negate: _Expressions.negate,
    t.If: _Expressions.conditional,
    t.IsTrue: _Expressions.is_true,
    t.IsNull: _Expressions.is_null,
    t.And: _Expressions.conjunction,
    t.Or: _Expressions.disjunction,
    t.Not: _Expressions.negation,
    t.Compare: _Expressions.compare,
    t.StringTest: _Expressions.string_test,
    t.Like: _Expressions.like,
    t.Matches: _Expressions.matches,
    t.RegexGroup: _Expressions.regex_group,
    t.In: _Expressions.contained,
    t.Intersects: _Expressions.intersects,
    t.SubsetOf: _Expressions.subset,
    t.TimeRange: _Expressions.time_range,
    t.InSegment: _Expressions.in_segment,
}
