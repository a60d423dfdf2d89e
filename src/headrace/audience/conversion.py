"""One format of a query to the other. Nothing is stored, and names are not looked up."""

import msgspec

from headrace.audience.definition import Expression
from headrace.audience.errors import ExpressionInvalid
from headrace.pql.errors import PqlError
from headrace.pql.json_read import from_json
from headrace.pql.json_write import to_json
from headrace.pql.parser import parse
from headrace.pql.unparse import unparse


def converted(expression: Expression) -> Expression:
    """Return a query in the other format: text as JSON, JSON as text.

    Raises:
        ExpressionInvalid: It cannot be read.
    """
    try:
        if expression.format == "pql/json":
            return Expression(unparse(from_json(expression.value).tree), "pql/text", expression.type)
        return Expression(msgspec.json.encode(to_json(parse(expression.value))).decode(), "pql/json", expression.type)
    except PqlError as error:
        raise ExpressionInvalid(error) from error
