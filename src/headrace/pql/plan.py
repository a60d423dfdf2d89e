"""Which evaluation methods a query allows, decided from its tree, with the reason where one is not allowed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from headrace.pql.event_references import DAY_MS, EventReference, ReferenceKind, event_references
from headrace.pql.rules import normalised
from headrace.pql.tree import Bound, Call, DatePart, Field, Function, InSegment, Literal, Lookup, PartOf, Profile, walk

AEP_LOOKBACK_DAYS = 1
MAX_EXTENDED_LOOKBACK_DAYS = 90


class QueryClass(StrEnum):
    """Kinds of query that may run by streaming or on the edge."""

    PROFILE = "P"
    SINGLE_EVENT = "E1"
    EVENTS = "EM"
    SEGMENTS = "SS"
    PROFILE_AND_SEGMENTS = "PS"
    EVENTS_AND_SEGMENTS = "IS"


class ReasonCode(StrEnum):
    """Why a query cannot be streamed, or run on the edge."""

    AGGREGATION = "AG"
    NEGATION = "N"
    WINDOW = "W"
    ENTITIES = "M"
    AUDIENCE_MANAGER = "AAM"
    IGNORE_YEAR = "IY"
    SEGMENT_WITH_EVENTS = "IS"
    MERGE_POLICY = "MP"
    SCHEDULE = "SCH"
    SEVERAL_EVENTS = "EM"
    """Only for the edge."""


class RuleSet(StrEnum):
    """Whose rules decide: those of the public platform, or those that also allow what Headrace can stream exactly."""

    AEP = "aep"
    EXTENDED = "extended"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason against an evaluation method: the code, the node that gives it, and a sentence for the author."""

    code: ReasonCode
    node: Bound
    text: str


@dataclass(frozen=True, slots=True)
class Streamable:
    """The query may be evaluated this way.

    Attributes:
        code: Which kind of query it is.
        lookback_ms: Greatest age of an event that can matter; 0 without events.
    """

    code: QueryClass
    lookback_ms: int


@dataclass(frozen=True, slots=True)
class NotStreamable:
    """The query may not be evaluated this way; at least one reason, in the order of `ReasonCode`."""

    reasons: tuple[Reason, ...]

    @property
    def node(self) -> Bound:
        """Where the first reason lies."""
        return self.reasons[0].node

    @property
    def reason_code(self) -> ReasonCode:
        """Code of the first reason."""
        return self.reasons[0].code

    @property
    def text(self) -> str:
        """The first reason."""
        return self.reasons[0].text

    @property
    def codes(self) -> tuple[ReasonCode, ...]:
        """The codes of all reasons, each once."""
        return tuple(dict.fromkeys(reason.code for reason in self.reasons))


Verdict = Streamable | NotStreamable


@dataclass(frozen=True, slots=True)
class Plan:
    """What a query allows beside batch, which is always possible.

    Attributes:
        code: Kind of query; None when it fits none.
        streaming: Whether it may be streamed.
        edge: Whether it may run on the edge.
    """

    code: QueryClass | None
    streaming: Verdict
    edge: Verdict


@dataclass(frozen=True, slots=True)
class Setting:
    """What the decision depends on beside the query.

    Attributes:
        rules: Whose rules apply.
        lookback_days: Longest window of events under the extended rules, 1 to 90; the others always use one day.
        class_of_audience: Kind of the audience with an id, as its own plan says; None when it is unknown.
        is_active_on_edge: Whether the audience's merge policy is active on edge.
        is_schedule_enabled: Whether scheduled segmentation is enabled.
    """

    rules: RuleSet = RuleSet.AEP
    lookback_days: int = AEP_LOOKBACK_DAYS
    class_of_audience: Callable[[str], str | None] = lambda _: None
    is_active_on_edge: bool = True
    is_schedule_enabled: bool = True

    @property
    def window_ms(self) -> int:
        """Longest window of events that may be streamed."""
        if self.rules is RuleSet.AEP:
            return AEP_LOOKBACK_DAYS * DAY_MS
        return min(max(self.lookback_days, 1), MAX_EXTENDED_LOOKBACK_DAYS) * DAY_MS


DEFAULT_SETTING = Setting()


def plan(root: Bound, setting: Setting = DEFAULT_SETTING) -> Plan:
    """Decide which evaluation methods a bound query allows."""
    tree = normalised(root)
    references = event_references(tree)
    reasons = sorted(_reasons(tree, references, setting), key=lambda reason: _ORDER[reason.code])
    code = _query_class(tree, references)
    if reasons or code is None:
        refused = NotStreamable(tuple(reasons))
        return Plan(code, refused, refused)
    verdict = Streamable(code, max((reference.lookback_ms or 0 for reference in references), default=0))
    return Plan(code, verdict, _edge_verdict(verdict, references, tree))


_ORDER = {code: position for position, code in enumerate(ReasonCode)}


def _edge_verdict(streaming: Streamable, references: tuple[EventReference, ...], tree: Bound) -> Verdict:
    if len(references) <= 1 and all(one.kind is ReferenceKind.EXISTENCE for one in references):
        return streaming
    text = "A query over several events cannot run on the edge."
    return NotStreamable((Reason(ReasonCode.SEVERAL_EVENTS, references[-1].node if references else tree, text),))


def _query_class(tree: Bound, references: tuple[EventReference, ...]) -> QueryClass | None:
    has_segments = any(isinstance(node, InSegment) for node in walk(tree))
    if references:
        if has_segments:
            return QueryClass.EVENTS_AND_SEGMENTS
        is_single = len(references) == 1 and references[0].kind is ReferenceKind.EXISTENCE
        return QueryClass.SINGLE_EVENT if is_single else QueryClass.EVENTS
    if has_segments:
        has_attributes = any(isinstance(node, Profile) for node in walk(tree))
        return QueryClass.PROFILE_AND_SEGMENTS if has_attributes else QueryClass.SEGMENTS
    return QueryClass.PROFILE


# --- reasons ---------------------------------------------------------------------------------------------------------------


def _reasons(tree: Bound, references: tuple[EventReference, ...], setting: Setting) -> Iterator[Reason]:
    yield from _reasons_of_nodes(tree)
    yield from _reasons_of_events(tree, references, setting)
    if references:
        yield from _reasons_of_segments(tree, setting)
    if not setting.is_active_on_edge:
        yield Reason(ReasonCode.MERGE_POLICY, tree, "The audience's merge policy is not active on edge.")
    if not setting.is_schedule_enabled:
        yield Reason(ReasonCode.SCHEDULE, tree, "Scheduled segmentation is not enabled for the organization.")


def _reasons_of_nodes(tree: Bound) -> Iterator[Reason]:
    for node in walk(tree):
        match node:
            case Lookup():
                yield Reason(ReasonCode.ENTITIES, node, "lookup reads another entity than the profile and its events.")
            case PartOf(part=DatePart.MONTH_DAY):
                yield Reason(ReasonCode.IGNORE_YEAR, node, "ignoreYear is evaluated in batch only.")
            case Call(function=Function.MAP_GET, arguments=(Field(name="segmentMembership"), Literal(value="AAMSegments"))):
                yield Reason(ReasonCode.AUDIENCE_MANAGER, node, "Audience Manager segments are evaluated in batch only.")


def _reasons_of_segments(tree: Bound, setting: Setting) -> Iterator[Reason]:
    for node in walk(tree):
        if isinstance(node, InSegment) and setting.class_of_audience(node.audience_id) != QueryClass.PROFILE:
            text = f'Beside an event, inSegment("{node.audience_id}") needs an audience of profile attributes alone.'
            yield Reason(ReasonCode.SEGMENT_WITH_EVENTS, node, text)


def _reasons_of_events(tree: Bound, references: tuple[EventReference, ...], setting: Setting) -> Iterator[Reason]:
    is_aep = setting.rules is RuleSet.AEP
    for reference in references:
        is_aggregate = reference.kind is ReferenceKind.AGGREGATE
        if is_aep and is_aggregate:
            yield Reason(ReasonCode.AGGREGATION, reference.node, "A value computed from events is evaluated in batch only.")
            if not reference.has_window:
                continue  # the whole history is what an aggregate without a window means
        if reference.lookback_ms is None:
            yield Reason(ReasonCode.WINDOW, reference.node, f"Events of any age count here; {_remedy(setting)}")
        elif reference.lookback_ms > setting.window_ms:
            yield Reason(ReasonCode.WINDOW, reference.node, f"The window reaches too far back; {_remedy(setting)}")
    if is_aep and references and all(one.is_negated and one.kind is not ReferenceKind.AGGREGATE for one in references):
        yield Reason(ReasonCode.NEGATION, tree, "The query asks only for the absence of events.")


def _remedy(setting: Setting) -> str:
    hours = setting.window_ms // 3_600_000
    return f"streaming needs a window of at most {hours} hours, such as occurs <= {hours} hours before now."
