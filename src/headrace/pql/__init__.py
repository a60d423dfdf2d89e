"""PQL, the Profile Query Language: from text to a bound tree that compilers read."""

from headrace.pql.analysis import (
    JSON_FORMAT,
    TEXT_FORMAT,
    Analysis,
    Audiences,
    analyse,
    event_type,
    profile_type,
)
from headrace.pql.bind import Relationship
from headrace.pql.dependencies import Dependencies
from headrace.pql.errors import Advice, PqlError, Problem, ProblemCode
from headrace.pql.json_read import from_json
from headrace.pql.json_write import to_json
from headrace.pql.parser import parse
from headrace.pql.plan import NotStreamable, Plan, QueryClass, ReasonCode, RuleSet, Setting, Streamable, plan
from headrace.pql.reference import evaluate
from headrace.pql.unparse import unparse

__all__ = [
    "JSON_FORMAT",
    "TEXT_FORMAT",
    "Advice",
    "Analysis",
    "Audiences",
    "Dependencies",
    "NotStreamable",
    "Plan",
    "PqlError",
    "Problem",
    "ProblemCode",
    "QueryClass",
    "ReasonCode",
    "Relationship",
    "RuleSet",
    "Setting",
    "Streamable",
    "analyse",
    "evaluate",
    "event_type",
    "from_json",
    "parse",
    "plan",
    "profile_type",
    "to_json",
    "unparse",
]
