"""Settings of destinations on the wire: names, JSON Schemas and parsing, all derived from the settings classes.

A field ``client_credentials_type`` is the parameter ``clientCredentialsType``. Types: ``str``, ``int``, ``float``, ``bool``,
`Secret`, another settings class, ``… | None``, or a class with ``from_wire(value)`` and ``wire_schema()``.
"""

import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from headrace.config import Secret, SettingInvalid

T = TypeVar("T")

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def wire_name(field_name: str) -> str:
    """Return the parameter's name on the wire: ``s3_access_key`` is ``s3AccessKey``."""
    first, *rest = field_name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def is_required(item: Field[Any]) -> bool:
    """Whether the parameter must be given."""
    return item.default is MISSING and item.default_factory is MISSING


def secret_names(settings: type) -> frozenset[str]:
    """Return the wire names of the parameters that are secrets."""
    hints = get_type_hints(settings)
    return frozenset(wire_name(item.name) for item in fields(settings) if _unwrapped(hints[item.name]) is Secret)


def schema_of(settings: type) -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of the parameters of a settings class."""
    hints = get_type_hints(settings)
    schema: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {wire_name(item.name): _property(item, hints[item.name]) for item in fields(settings)},
    }
    required = [wire_name(item.name) for item in fields(settings) if is_required(item)]
    return {**schema, "required": required} if required else schema


def _property(item: Field[Any], hint: Any) -> dict[str, Any]:
    kind = _unwrapped(hint)
    schema: dict[str, Any] = {}
    if kind is Secret:
        schema = {"type": "string", "format": "password"}
    elif kind in _PLAIN:
        schema = {"type": _PLAIN[kind]}
    elif hasattr(kind, "wire_schema"):
        schema = dict(kind.wire_schema())
    else:
        schema = {key: value for key, value in schema_of(kind).items() if key != "$schema"}
    if description := item.metadata.get("description"):
        schema["description"] = description
    if choices := item.metadata.get("one_of"):
        schema["enum"] = list(choices)
    if pattern := item.metadata.get("pattern"):
        schema["pattern"] = f"^(?:{pattern})$"
    if (example := item.metadata.get("example")) is not None:
        schema["examples"] = [example]
    if isinstance(item.default, str | int | bool):
        schema["default"] = item.default
    return schema


def settings_from(settings: type[T], params: Mapping[str, Any], *, path: str = "") -> T:
    """Return the settings that ``params`` (wire names) describe; unknown names are ignored.

    Args:
        settings: The settings class.
        params: Parameters as they came over the wire.
        path: Prefix of the path that an error names, such as ``/params``.

    Raises:
        SettingInvalid: A parameter is missing, has the wrong type, or is outside what is allowed.
    """
    hints = get_type_hints(settings)
    values: dict[str, Any] = {}
    for item in fields(settings):  # type: ignore[arg-type]
        name = wire_name(item.name)
        here = f"{path}/{name}"
        if params.get(name) is not None:
            values[item.name] = _parsed(item, _unwrapped(hints[item.name]), params[name], here)
        elif is_required(item):
            raise SettingInvalid(f"Parameter '{name}' is missing: {item.metadata.get('description', '')}", path=here)
    try:
        return settings(**values)
    except SettingInvalid as error:
        error.path = f"{path}/{error.path}" if error.path else path
        raise


def _parsed(item: Field[Any], kind: Any, value: Any, path: str) -> Any:
    name = wire_name(item.name)
    parsed = _of_kind(kind, value, name, path)
    choices, pattern = item.metadata.get("one_of"), item.metadata.get("pattern")
    if choices and parsed not in choices:
        raise SettingInvalid(f"Parameter '{name}' must be one of {', '.join(map(repr, choices))}.", path=path)
    text = parsed.reveal() if isinstance(parsed, Secret) else parsed
    if pattern and not re.fullmatch(pattern, str(text)):
        raise SettingInvalid(f"Parameter '{name}' must match {pattern}.", path=path)
    return parsed


def _of_kind(kind: Any, value: Any, name: str, path: str) -> Any:
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    if kind is int and isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is bool and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if hasattr(kind, "from_wire"):
        try:
            return kind.from_wire(value)
        except ValueError as error:
            raise SettingInvalid(f"Parameter '{name}': {error}", path=path) from error
    if is_dataclass(kind) and isinstance(value, Mapping):
        return settings_from(kind, value, path=path)  # type: ignore[arg-type]
    wanted = "string" if kind is Secret else _PLAIN.get(kind, "object")
    raise SettingInvalid(f"Parameter '{name}' must be of type {wanted}, not {type(value).__name__}.", path=path)


def _unwrapped(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        return next(argument for argument in get_args(hint) if argument is not type(None))
    return get_origin(hint) or hint
