"""How an audience is evaluated: what its query allows, what its owner asked for, and the reason where both differ."""

from collections.abc import Callable
from dataclasses import dataclass

from headrace.audience.definition import BATCH, EDGE, STREAMING, Evaluation, Method, ReasonText
from headrace.pql.analysis import Analysis
from headrace.pql.plan import NotStreamable, ReasonCode, RuleSet, Setting, Streamable, Verdict, plan

_OTHER_POLICY = "Streaming merges profiles by the sandbox's default merge policy; this audience uses another one."


@dataclass(frozen=True, slots=True)
class MethodRules:
    """How a sandbox chooses methods.

    Attributes:
        rules: Whose rules decide what may be streamed.
        lookback_days: Longest window of events under the extended rules.
        is_automatic: Whether an audience without a wish is streamed when it can be; else it is a batch audience.
    """

    rules: RuleSet = RuleSet.AEP
    lookback_days: int = 1
    is_automatic: bool = True


def decide(
    analysis: Analysis,
    requested: str,
    *,
    rules: MethodRules,
    class_of_audience: Callable[[str], str | None],
    is_default_policy: bool,
) -> Evaluation:
    """Choose the method of an audience.

    Args:
        analysis: Its query.
        requested: The method asked for; empty leaves the choice to the system.
        rules: How the sandbox chooses.
        class_of_audience: Kind of the query of another audience.
        is_default_policy: Whether the audience uses the default merge policy, by which the stream merges.
    """
    setting = Setting(rules.rules, rules.lookback_days, class_of_audience, is_active_on_edge=is_default_policy)
    found = plan(analysis.bound, setting)
    return Evaluation(
        method=_method(requested, found.streaming, found.edge, rules),
        query_class=found.code.value if found.code else "",
        streaming_reasons=_reasons(found.streaming),
        edge_reasons=_reasons(found.edge),
        lookback_ms=found.streaming.lookback_ms if isinstance(found.streaming, Streamable) else 0,
        dependencies=analysis.dependencies.audience_ids,
        advice=tuple(ReasonText(item.code, item.text) for item in analysis.advice),
        rules=rules.rules.value,
    )


def _method(requested: str, streaming: Verdict, edge: Verdict, rules: MethodRules) -> Method:
    wish = requested or (STREAMING if rules.is_automatic else BATCH)
    if wish == EDGE and isinstance(edge, Streamable):
        return "edge"
    if wish in (EDGE, STREAMING) and isinstance(streaming, Streamable):
        return "streaming"
    return "batch"


def _reasons(verdict: Verdict) -> tuple[ReasonText, ...]:
    if not isinstance(verdict, NotStreamable):
        return ()
    return tuple(
        ReasonText(reason.code.value, _OTHER_POLICY if reason.code is ReasonCode.MERGE_POLICY else reason.text)
        for reason in verdict.reasons
    )
