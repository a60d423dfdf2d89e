"""What a definition of the tenant must look like before anything is built on it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jsonschema_rs

from headrace.schemas.composition import Composer
from headrace.schemas.errors import DefinitionInvalid, FieldNameInvalid, NamespaceViolated
from headrace.schemas.paths import leaves
from headrace.schemas.resource import Kind, Resource
from headrace.schemas.validation import PATTERNS

MOST_LEAVES = 6000
DEEPEST = 32

_JSON_TYPES = frozenset(("string", "number", "integer", "boolean", "object", "array"))
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SHAPED = ("type", "$ref", "properties", "items", "allOf", "additionalProperties")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")
_TEXTS = ("title", "description", "pattern", "format")


def check_shape(kind: Kind, body: Mapping[str, Any]) -> None:
    """Check the outermost keys of a definition.

    Raises:
        DefinitionInvalid: A key is missing or has the wrong type; the path names it.
    """
    title = body.get("title")
    if not isinstance(title, str) or not title.strip():
        raise DefinitionInvalid("A resource needs a 'title', a text that is not empty.", path="/title")
    if body.get("type", "object") != "object" and (kind != "datatypes" or body["type"] not in _JSON_TYPES):
        raise DefinitionInvalid(f"The 'type' of a resource is 'object', not {body['type']!r}.", path="/type")
    members = body.get("allOf", [])
    if not isinstance(members, list) or not all(isinstance(member, Mapping) for member in members):
        raise DefinitionInvalid("'allOf' is a list of objects.", path="/allOf")
    if kind in ("schemas", "classes") and not members:
        raise DefinitionInvalid("'allOf' must name what the resource is built on.", path="/allOf")
    if kind == "mixins":
        _check_field_group(body)
    if kind == "datatypes" and not (body.get("properties") or members or body["type"] != "object"):
        raise DefinitionInvalid("A data type needs 'properties', or 'definitions' and 'allOf'.", path="/properties")
    for keyword in ("definitions", "properties"):
        if not isinstance(body.get(keyword, {}), Mapping):
            raise DefinitionInvalid(f"'{keyword}' is an object.", path=f"/{keyword}")


def _check_field_group(body: Mapping[str, Any]) -> None:
    fits = body.get("meta:intendedToExtend")
    if not isinstance(fits, list) or not all(isinstance(item, str) for item in fits):
        raise DefinitionInvalid(
            "A field group needs 'meta:intendedToExtend', the list of ids of the classes it fits.", path="/meta:intendedToExtend"
        )
    if not body.get("allOf") and not body.get("properties"):
        raise DefinitionInvalid("A field group needs 'definitions' and 'allOf'.", path="/allOf")


def check_fields(node: Any, path: str = "") -> None:
    """Check every field that a definition declares, at any depth.

    Raises:
        DefinitionInvalid: A field has no type, an unknown one, or a keyword with a value that does not fit it.
    """
    for name, child, is_field in _children(node, path):
        if not isinstance(child, Mapping):
            raise DefinitionInvalid(f"The definition at '{name}' must be an object.", path=name)
        if is_field:
            _check_field(child, name)
        check_fields(child, name)


def _children(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any, bool]]:
    for keyword, is_field in (("properties", True), ("definitions", False)):
        named = node.get(keyword, {})
        if not isinstance(named, Mapping):
            raise DefinitionInvalid(f"'{keyword}' is an object.", path=f"{path}/{keyword}")
        yield from ((f"{path}/{keyword}/{name}", child, is_field) for name, child in named.items())
    members = node.get("allOf", [])
    if not isinstance(members, list):
        raise DefinitionInvalid("'allOf' is a list.", path=f"{path}/allOf")
    yield from ((f"{path}/allOf/{index}", child, False) for index, child in enumerate(members))
    if "items" in node:
        yield f"{path}/items", node["items"], True
    if isinstance(node.get("additionalProperties"), Mapping):
        yield f"{path}/additionalProperties", node["additionalProperties"], True


def _check_field(field: Mapping[str, Any], path: str) -> None:
    if not any(keyword in field for keyword in _SHAPED):
        raise DefinitionInvalid(f"The field at '{path}' needs a 'type' or a '$ref'.", path=path)
    if "type" in field and field["type"] not in _JSON_TYPES:
        raise DefinitionInvalid(
            f"The field at '{path}' has the type {field['type']!r}; types are {', '.join(sorted(_JSON_TYPES))}.",
            path=f"{path}/type",
        )
    if field.get("type") == "array" and "items" not in field:
        raise DefinitionInvalid(f"The array at '{path}' needs 'items'.", path=f"{path}/items")
    _check_values(field, path)
    _check_map(field, path)


def _check_values(field: Mapping[str, Any], path: str) -> None:
    for keywords, kinds, what in (
        (_NUMBERS, (int, float), "a number"),
        (_COUNTS, (int,), "a whole number"),
        (_TEXTS, (str,), "a text"),
    ):
        for keyword in keywords:
            value = field.get(keyword)
            if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
                raise DefinitionInvalid(f"'{keyword}' at '{path}' is {what}, not {value!r}.", path=f"{path}/{keyword}")
    if isinstance(pattern := field.get("pattern"), str):
        _check_pattern(pattern, path)
    if not isinstance(field.get("required", []), list):
        raise DefinitionInvalid(f"'required' at '{path}' is a list of names.", path=f"{path}/required")
    _check_enum(field, path)


def _check_pattern(pattern: str, path: str) -> None:
    try:
        jsonschema_rs.Draft4Validator({"pattern": pattern}, pattern_options=PATTERNS)
    except jsonschema_rs.ValidationError as error:
        raise DefinitionInvalid(f"'pattern' at '{path}' is no regular expression: {pattern}", path=f"{path}/pattern") from error


def _check_enum(field: Mapping[str, Any], path: str) -> None:
    values, labels = field.get("enum"), field.get("meta:enum")
    if values is not None and (not isinstance(values, list) or not values):
        raise DefinitionInvalid(f"'enum' at '{path}' is a list of at least one value.", path=f"{path}/enum")
    if labels is not None and not isinstance(labels, Mapping):
        raise DefinitionInvalid(f"'meta:enum' at '{path}' is an object of value and label.", path=f"{path}/meta:enum")
    if values and labels and (extra := [name for name in labels if name not in [str(value) for value in values]]):
        raise DefinitionInvalid(f"'meta:enum' at '{path}' labels '{extra[0]}', which 'enum' lacks.", path=f"{path}/meta:enum")


def _check_map(field: Mapping[str, Any], path: str) -> None:
    values = field.get("additionalProperties")
    if not isinstance(values, Mapping) or field.get("properties"):
        return
    is_text_list = (
        values.get("type") == "array" and isinstance(items := values.get("items"), Mapping) and items.get("type") == "string"
    )
    if values.get("type") not in ("string", "integer") and not is_text_list:
        raise DefinitionInvalid(
            f"The values of the map at '{path}' must be strings, integers or arrays of strings.",
            path=f"{path}/additionalProperties",
        )


def check_size(form: Mapping[str, Any], title: str) -> None:
    """Refuse a composed form that is too large or too deep.

    Raises:
        DefinitionInvalid: More than 6,000 leaves, or deeper than 32 levels.
    """
    for count, (path, _) in enumerate(leaves(form), start=1):
        if count > MOST_LEAVES:
            raise DefinitionInvalid(
                f"'{title}' has more than {MOST_LEAVES:,} fields.", hint="Split it, or take out field groups."
            )
        if len(path) > DEEPEST:
            raise DefinitionInvalid(
                f"'{title}' is deeper than {DEEPEST} levels at '/{'/'.join(path)}'.", path="/" + "/".join(path)
            )


def own_fields(resource: Resource, composer: Composer, is_tenant: Callable[[str], bool]) -> dict[str, Any]:
    """Return the object with the fields that a resource itself adds, without those of standard components it is built on."""
    members = [
        member
        for member in resource.compatible.get("allOf", ())
        if not isinstance(reference := member.get("$ref"), str) or reference.startswith("#") or is_tenant(reference)
    ]
    own: dict[str, Any] = {
        key: resource.compatible[key] for key in ("properties", "required", "definitions", "title") if key in resource.compatible
    }
    return composer.fields_of(Resource(resource.kind, resource.id, {**own, "allOf": members}))


def check_names(form: Mapping[str, Any], *, namespace: str, is_custom: bool, path: tuple[str, ...] = ()) -> None:
    """Check the names of custom fields.

    Args:
        form: The object with the fields that a resource adds.
        namespace: Name of the tenant's object, which may stand anywhere.
        is_custom: Whether ``form`` lies inside that object, or in a data type; elsewhere names like ``_repo`` are standard.
        path: Where ``form`` stands.

    Raises:
        FieldNameInvalid: A name has other characters than letters, digits, ``-`` and ``_``, starts with ``_``, or equals another
            one but for case.
    """
    if "meta:referencedFrom" in form:
        return
    folded: dict[str, str] = {}
    for name, node in form.get("properties", {}).items():
        place = "/" + "/".join((*path, name))
        is_allowed = name == namespace or _NAME.fullmatch(name) or (not is_custom and name.startswith("_"))
        if not is_allowed:
            raise FieldNameInvalid(
                f"The field name '{name}' at '{place}' is not allowed.",
                path=place,
                hint="Names have letters, digits, '-' and '_', and start with a letter or digit.",
            )
        twin = folded.setdefault(name.casefold(), name)
        if twin != name:
            raise FieldNameInvalid(f"The field names '{twin}' and '{name}' at '{place}' differ only in case.", path=place)
        check_names(node, namespace=namespace, is_custom=is_custom or name == namespace, path=(*path, name))
    for keyword in ("items", "additionalProperties"):
        if isinstance(inner := form.get(keyword), Mapping):
            check_names(inner, namespace=namespace, is_custom=is_custom, path=(*path, "*"))


def check_namespace(
    form: Mapping[str, Any], *, namespace: str, standard_objects: Iterable[tuple[str, ...]], path: tuple[str, ...] = ()
) -> None:
    """Check that custom fields of a class or field group lie under the tenant's object.

    That object stands at the root, or inside an object of the standard components, whose path is repeated.

    Raises:
        NamespaceViolated: A field lies outside.
    """
    standard = standard_objects if isinstance(standard_objects, frozenset) else frozenset(standard_objects)
    for name, node in form.get("properties", {}).items():
        place = (*path, name)
        if name == namespace:
            if node.get("properties") or node.get("$ref") or node.get("type") == "object":
                continue
            raise NamespaceViolated(f"'{namespace}' must be an object.", path="/" + "/".join(place))
        inner = node
        while isinstance(items := inner.get("items"), Mapping):
            inner = items
        if place not in standard or not inner.get("properties") or "meta:referencedFrom" in node:
            raise NamespaceViolated(
                f"Namespace validation error: the custom field '/{'/'.join(place)}' must lie under '{namespace}'.",
                path="/" + "/".join(place),
                hint=f"Move it to '/{'/'.join((*path, namespace, name))}'.",
            )
        check_namespace(inner, namespace=namespace, standard_objects=standard, path=place)


class IsTenant:
    """Tells whether a reference leads to a resource of the tenant."""

    def __init__(self, identifiers: Iterable[str]) -> None:
        self._identifiers = frozenset(identifiers)

    def __call__(self, reference: str) -> bool:
        """Return whether ``reference``, with or without a fragment, is one of the tenant's."""
        return reference.partition("#")[0] in self._identifiers
