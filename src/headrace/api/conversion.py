"""Data Prep: mapping sets, their schemas, and trying them out."""

import inspect
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Body, Depends, Query
from starlette.responses import Response

from headrace.activation.errors import EntityUnknown, MappingInvalid
from headrace.activation.mapping import normalised_mappings
from headrace.activation.mapping_sets import MappingSet, MappingSets
from headrace.api.context import Context, context_of
from headrace.api.paging import limit_of, ordered, parse_order, start_of
from headrace.api.wire.answer import answer, empty
from headrace.errors import InvalidInput, NotFound
from headrace.ingest.mapping import Mapper, TransformFailed, field_mappings
from headrace.ingest.mapping.expression import compile_expression
from headrace.ingest.mapping.functions import Function, functions_of
from headrace.ingest.mapping.mapper import form_at
from headrace.ingest.mapping.paths import parse_path
from headrace.model import Sandbox

_BASE = "/data/foundation/conversion"
router = APIRouter(prefix=_BASE, tags=["Data Prep"])

Document = dict[str, Any]

# symbol, name, operands, meaning, example
_OPERATORS = (
    ("+", "add", 2, "Sum; joins texts when a side is no number.", "price + tax"),
    ("-", "subtract", 2, "Difference.", "price - rebate"),
    ("*", "multiply", 2, "Product.", "price * 2"),
    ("/", "divide", 2, "Quotient.", "total / count"),
    ("%", "mod", 2, "Remainder.", "number % 2"),
    ("-", "negate", 1, "Negative of a number.", "-balance"),
    ("!", "not", 1, "Negation.", "!isActive"),
    ("&&", "and", 2, "Both are true.", "a > 1 && b > 1"),
    ("||", "or", 2, "At least one is true.", "a > 1 || b > 1"),
    ("==", "eq", 2, "Equal.", "country == 'NO'"),
    ("!=", "ne", 2, "Not equal.", "country != 'NO'"),
    ("<", "lt", 2, "Less.", "age < 18"),
    ("<=", "le", 2, "Less or equal.", "age <= 18"),
    (">", "gt", 2, "Greater.", "age > 18"),
    (">=", "ge", 2, "Greater or equal.", "age >= 18"),
    ("=~", "matches", 2, "Matches a regular expression, or is in a list.", "sku =~ '^A.*'"),
    ("!~", "notMatches", 2, "Does not match, or is not in a list.", "sku !~ '^A.*'"),
    ("=^", "startsWith", 2, "Starts with.", "sku =^ 'A'"),
    ("!^", "notStartsWith", 2, "Does not start with.", "sku !^ 'A'"),
    ("=$", "endsWith", 2, "Ends with.", "sku =$ 'Z'"),
    ("!$", "notEndsWith", 2, "Does not end with.", "sku !$ 'Z'"),
    ("&", "bitwiseAnd", 2, "Bits of both.", "flags & 4"),
    ("|", "bitwiseOr", 2, "Bits of either.", "flags | 4"),
    ("^", "bitwiseXor", 2, "Bits of one alone.", "flags ^ 4"),
    ("~", "bitwiseComplement", 1, "All other bits.", "~flags"),
    ("?:", "ternary", 3, "One of two values by a condition.", "age >= 18 ? 'adult' : 'minor'"),
    ("??", "nullCoalesce", 2, "The first value unless it is null.", "nickname ?? name"),
)
_PATH_TYPES = {"ATTRIBUTE": "text/x.schema-path", "EXPRESSION": "text/x.aep-xl"}


@router.get("/mappingSets")
def list_mapping_sets(
    limit: str | None = None,
    start: str | None = None,
    name: str | None = None,
    order_by: str | None = Query(None, alias="orderBy"),
    context: Context = Depends(context_of),
) -> Response:
    """List mapping sets."""
    size, first = limit_of(limit, default=10, most=1000, is_capped=True), start_of(start)
    found = [_wire(each) for each in _sets(context).all(context.sandbox)]
    found = [each for each in found if name is None or each.get("name") == name]
    found = ordered(found, parse_order((order_by or "").replace("updatedDate", "modifiedDate"), default="-createdDate"))
    shown = found[first : first + size]
    links = {}
    if first + size < len(found):
        links["next"] = {"href": f"{_BASE}/mappingSets?start={first + size}&limit={size}"}
    return answer({"data": shown, "_page": {"count": len(shown), "limit": size}, "_links": links})


@router.post("/mappingSets")
def create_mapping_set(body: Document = Body(), validate: str = "false", context: Context = Depends(context_of)) -> Response:
    """Create a mapping set."""
    if validate.lower() == "true":
        _refuse_invalid(context, body)
    return answer(_stamp(_sets(context).create(context.sandbox, body, context.user_id)))


@router.post("/mappingSets/validate")
def validate_mapping_set(body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Check the mappings of a set, one by one."""
    return answer({"validationResponse": _validated(context, body)})


@router.post("/mappingSets/preview")
def preview_mapping_set(body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Apply a mapping set to sample data."""
    data, mapping_set = body.get("data"), body.get("mappingSet")
    rows = [data] if isinstance(data, dict) else data
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not isinstance(mapping_set, dict):
        raise MappingInvalid("The body needs 'data' (objects) and 'mappingSet'.", path="/data")
    mapper = Mapper(field_mappings(mapping_set), _target_form(context, mapping_set), functions_of(context.services.clock))
    shown = []
    for row in rows:
        record, warnings = mapper.apply(row)
        shown.append({"data": record, "errors": [_warning(mapping_set, warning.message) for warning in warnings] or None})
    return answer(shown)


@router.get("/mappingSets/{set_id}")
def get_mapping_set(set_id: str, version: int | None = None, context: Context = Depends(context_of)) -> Response:
    """Retrieve a mapping set."""
    return answer(_wire(_sets(context).get(context.sandbox, set_id, version)))


@router.put("/mappingSets/{set_id}")
def replace_mapping_set(set_id: str, body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Make the next version of a mapping set."""
    return answer(_wire(_sets(context).replace(context.sandbox, set_id, body, context.user_id)))


@router.delete("/mappingSets/{set_id}")
def delete_mapping_set(set_id: str, context: Context = Depends(context_of)) -> Response:
    """Delete a mapping set that no dataflow names."""
    _sets(context).delete(context.sandbox, set_id)
    return empty()


@router.get("/mappingSets/{set_id}/mappings")
def list_mappings(set_id: str, context: Context = Depends(context_of)) -> Response:
    """List the mappings of a set."""
    found = _sets(context).get(context.sandbox, set_id)
    return answer([_mapping(found, each) for each in found.mappings])


@router.post("/mappingSets/{set_id}/mappings")
def add_mapping(set_id: str, body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Add a mapping to a set."""
    found = _sets(context).get(context.sandbox, set_id)
    changed = _with_mappings(context, found, [*found.mappings, body])
    return answer(_mapping(changed, changed.mappings[-1]))


@router.get("/mappingSets/{set_id}/mappings/{mapping_id}")
def get_mapping(set_id: str, mapping_id: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve a mapping of a set."""
    found = _sets(context).get(context.sandbox, set_id)
    return answer(_mapping(found, found.mappings[_position(found, mapping_id)]))


@router.put("/mappingSets/{set_id}/mappings/{mapping_id}")
def replace_mapping(set_id: str, mapping_id: str, body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Change a mapping of a set."""
    found = _sets(context).get(context.sandbox, set_id)
    position, mappings = _position(found, mapping_id), found.mappings
    mappings[position] = {**body, "id": mapping_id}
    changed = _with_mappings(context, found, mappings)
    return answer(_mapping(changed, changed.mappings[position]))


@router.delete("/mappingSets/{set_id}/mappings/{mapping_id}")
def delete_mapping(set_id: str, mapping_id: str, context: Context = Depends(context_of)) -> Response:
    """Remove a mapping from a set."""
    found = _sets(context).get(context.sandbox, set_id)
    mappings = found.mappings
    del mappings[_position(found, mapping_id)]
    _with_mappings(context, found, mappings)
    return empty()


@router.post("/schemas")
def create_schema(body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Store the input or output schema of a mapping set."""
    return answer(_schema(_sets(context).create_schema(context.sandbox, body, context.user_id)))


@router.get("/schemas/{schema_id}")
def get_schema(schema_id: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve an input or output schema."""
    return answer(_schema(_sets(context).schema(context.sandbox, schema_id)))


@router.post("/languages/el/validate")
def validate_expression(body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Check an expression."""
    given = body.get("expression")
    text = given.get("expression") if isinstance(given, Mapping) else given
    if not isinstance(text, str):
        raise MappingInvalid("'expression' is required.", path="/expression")
    compile_expression(text, functions_of(context.services.clock))
    return answer(True)


@router.get("/languages/el/functions")
def list_functions(context: Context = Depends(context_of)) -> Response:
    """List the functions of expressions."""
    return answer([_function(name, function) for name, function in sorted(functions_of(context.services.clock).items())])


@router.get("/languages/el/operators")
def list_operators() -> Response:
    """List the operators of expressions."""
    return answer(
        [
            {
                "operatorSymbol": symbol,
                "methodName": method,
                "numberOfOperands": operands,
                "description": description,
                "example": example,
            }
            for symbol, method, operands, description, example in _OPERATORS
        ]
    )


def _function(name: str, function: Function) -> Document:
    parameters = [str(parameter) for parameter in inspect.signature(function.call_plain).parameters.values()]
    names = [text.partition(":")[0].partition("=")[0].strip() for text in parameters]
    described = [
        {"name": each, "description": "", "type": "OPTIONAL" if position >= function.least else "REQUIRED", "position": position}
        for position, each in enumerate(names)
    ]
    return {
        "category": function.call_plain.__module__.rpartition(".")[2],
        "function": name,
        "description": inspect.getdoc(function.call_plain) or "",
        "syntax": f"{name}({', '.join(names)})",
        "params": described,
    }


def _sets(context: Context) -> MappingSets:
    return context.services.flow_service.mapping_sets


def _with_mappings(context: Context, found: MappingSet, mappings: list[Document]) -> MappingSet:
    return _sets(context).replace(context.sandbox, found.id, {"mappings": mappings}, context.user_id)


def _position(found: MappingSet, mapping_id: str) -> int:
    for position, mapping in enumerate(found.mappings):
        if mapping["id"] == mapping_id:
            return position
    raise EntityUnknown("mapping_set", f"{found.id}/mappings/{mapping_id}")


def _stamp(found: MappingSet) -> Document:
    return {
        "id": found.id,
        "version": found.version,
        "createdDate": found.created_at,
        "modifiedDate": found.updated_at,
        "createdBy": found.body.get("createdBy", ""),
        "modifiedBy": found.body.get("modifiedBy", ""),
    }


def _wire(found: MappingSet) -> Document:
    """Return a mapping set in both dialects."""
    shown = {"status": "PUBLISHED", "allowNullValues": False, "strictMapping": False, "supportVersion": "1.1"}
    schema = found.body.get("outputSchema")
    reference = schema.get("schemaRef") if isinstance(schema, Mapping) else None
    old = {"xdmSchema": reference["id"], "xdmVersion": "1.0"} if isinstance(reference, Mapping) and "id" in reference else {}
    mappings = [_mapping(found, each) for each in found.mappings]
    return {**shown, **old, **found.body, **_stamp(found), "mappings": mappings}


def _mapping(found: MappingSet, mapping: Mapping[str, Any]) -> Document:
    return {
        "identity": False,
        "primaryIdentity": False,
        **mapping,
        "sourceType": _PATH_TYPES.get(mapping["sourceType"], mapping["sourceType"]),
        "sourceAttribute": mapping["source"],
        "destinationXdmPath": mapping["destination"],
        "version": found.version,
        "createdDate": found.created_at,
        "modifiedDate": found.updated_at,
        "createdBy": found.body.get("createdBy", ""),
        "modifiedBy": found.body.get("modifiedBy", ""),
    }


def _schema(found: MappingSet) -> Document:
    return {**_stamp(found), "name": found.body["name"], "jsonSchema": found.body["jsonSchema"]}


def _target_form(context: Context, mapping_set: Mapping[str, Any]) -> Mapping[str, Any] | None:
    output = mapping_set.get("outputSchema")
    reference = output.get("schemaRef") if isinstance(output, Mapping) else None
    schema_id = reference.get("id") if isinstance(reference, Mapping) else mapping_set.get("xdmSchema")
    return _form_of(context, context.sandbox, schema_id) if isinstance(schema_id, str) else None


def _form_of(context: Context, sandbox: Sandbox, schema_id: str) -> Mapping[str, Any]:
    try:
        return context.services.schemas.full_form(sandbox, schema_id)
    except NotFound as error:
        raise MappingInvalid(f"Schema '{schema_id}' does not exist.", path="/outputSchema/schemaRef/id") from error


def _validated(context: Context, body: Mapping[str, Any]) -> list[Document]:
    form = _target_form(context, body)
    mappings = normalised_mappings(body.get("mappings"))
    targets = [mapping["destination"] for mapping in mappings]
    functions = functions_of(context.services.clock)
    return [_validation(mapping, targets, form, functions) for mapping in mappings]


def _validation(
    mapping: Mapping[str, Any], targets: list[str], form: Mapping[str, Any] | None, functions: Mapping[str, Function]
) -> Document:
    try:
        if targets.count(mapping["destination"]) > 1:
            raise MappingInvalid(f"Two mappings write to '{mapping['destination']}'.")
        Mapper(field_mappings({"mappings": [mapping]}), form, functions)
        _check_target(mapping["destination"], form)
    except (InvalidInput, TransformFailed) as error:
        return {"status": "FAILED", "errors": [_error(mapping, str(error))]}
    return {"status": "SUCCESS", "errors": None}


def _check_target(destination: str, form: Mapping[str, Any] | None) -> None:
    if form is not None and form_at(form, parse_path(destination)) is None:
        raise MappingInvalid(f"The target schema has no field '{destination}'.")


def _refuse_invalid(context: Context, body: Mapping[str, Any]) -> None:
    for index, result in enumerate(_validated(context, body)):
        if result["status"] == "FAILED":
            raise MappingInvalid(result["errors"][0]["exception"], path=f"/mappings/{index}")


def _error(mapping: Mapping[str, Any], text: str) -> Document:
    return {
        "source": mapping["source"],
        "sourceType": mapping["sourceType"],
        "destination": mapping["destination"],
        "columnName": mapping["destination"],
        "exception": text,
    }


def _warning(mapping_set: Mapping[str, Any], text: str) -> Document:
    destination = text.rpartition("destinationField: ")[2]
    mappings = normalised_mappings(mapping_set.get("mappings"))
    found = next((each for each in mappings if each["destination"] == destination), None)
    return _error(found or {"source": "", "sourceType": "", "destination": destination}, text)
