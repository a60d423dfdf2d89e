"""The body that creates a batch: what is stored of it, and what the stored form means."""

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.ingest.batch_errors import BatchRequestInvalid
from headrace.ingest.files import CHARSETS, FORMATS, FileFormat

DIAGNOSTICS_TAG, PERCENT_TAG, MAPPER_TAG = "acp_enableErrorDiagnostics", "acp_partialIngestionPercent", "aep_sip_mapper"
_DEFAULT_FORMAT = "parquet"
_PERCENT_NAMES = ("partialIngestionPercent", "partialIngestionPercentage")


def stored_form(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a batch that a create body gives.

    Raises:
        BatchRequestInvalid: A member is not acceptable.
    """
    percent = _percent(body)
    has_diagnostics = _boolean(body, "enableErrorDiagnostics") or percent > 0
    tags = _tags(body.get("tags"))
    if has_diagnostics:
        tags[DIAGNOSTICS_TAG] = True
    if percent:
        tags[PERCENT_TAG] = percent
    stored: dict[str, Any] = {"inputFormat": _input_format(body.get("inputFormat")), "tags": tags}
    external_id = body.get("externalId")
    if external_id is not None:
        if not isinstance(external_id, str) or not external_id:
            raise BatchRequestInvalid("'externalId' must be a text that is not empty.", path="/externalId")
        stored["externalId"] = external_id
    if body.get("replay") is not None:
        stored["replay"] = _replay(body["replay"])
    return stored


def file_format_in(stored: Mapping[str, Any]) -> FileFormat:
    """Return how to read the files of a stored batch."""
    return format_of(stored.get("inputFormat") or {})


def format_of(given: Mapping[str, Any]) -> FileFormat:
    """Return the format that a wire form (``inputFormat``, or a query) describes."""
    return FileFormat(
        format=str(given.get("format") or _DEFAULT_FORMAT).lower(),
        is_array=_truth(given.get("isMultiLineJson", False)),
        delimiter=str(given.get("delimiter") or ","),
        quote=str(given.get("quote", '"')),
        escape=str(given.get("escape", "\\")),
        charset=str(given.get("charset") or "UTF-8").upper(),
        has_header=_truth(given.get("header", True)),
        null_marker=str(given.get("nullMarker", "")),
    )


def error_percent_in(stored: Mapping[str, Any]) -> int:
    """Return how many rows in a hundred a stored batch may set aside."""
    value = _first(stored.get("tags", {}).get(PERCENT_TAG, 0))
    return int(value) if str(value).isdecimal() and int(value) <= 100 else 0


def diagnostics_in(stored: Mapping[str, Any]) -> bool:
    """Tell whether a stored batch keeps the rows that it sets aside."""
    return _truth(_first(stored.get("tags", {}).get(DIAGNOSTICS_TAG, False))) or error_percent_in(stored) > 0


def mapping_in(stored: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return the id and version of the mapping set that a stored batch names, None without one."""
    values = stored.get("tags", {}).get(MAPPER_TAG) or ()
    pairs = dict(str(value).partition(":")[::2] for value in ([values] if isinstance(values, str) else values))
    mapping_id, version = pairs.get("mapping-set-id", "").strip(), pairs.get("mapping-set-version", "0").strip()
    return (mapping_id, int(version) if version.isdecimal() else 0) if mapping_id else None


# --- checks -----------------------------------------------------------------------------------------------------------------


def check_format(format_: FileFormat, path: str = "/inputFormat") -> None:
    """Refuse a format that cannot be read.

    Raises:
        BatchRequestInvalid: It is unknown, or one of its characters is none.
    """
    if format_.format not in FORMATS:
        raise BatchRequestInvalid(
            f"'{format_.format}' is no input format; use one of {', '.join(FORMATS)}.", path=f"{path}/format"
        )
    if format_.charset not in CHARSETS:
        raise BatchRequestInvalid(f"'{format_.charset}' is no charset; use one of {', '.join(CHARSETS)}.", path=f"{path}/charset")
    if len(format_.delimiter) != 1 or format_.delimiter in "\r\n":
        raise BatchRequestInvalid("'delimiter' must be one character.", path=f"{path}/delimiter")
    for name, value in (("quote", format_.quote), ("escape", format_.escape)):
        if len(value) > 1:
            raise BatchRequestInvalid(f"'{name}' must be one character.", path=f"{path}/{name}")


def _input_format(given: Any) -> dict[str, Any]:
    if given is None:
        return {"format": _DEFAULT_FORMAT}
    if not isinstance(given, Mapping):
        raise BatchRequestInvalid("'inputFormat' must be an object.", path="/inputFormat")
    if given.get("format") is None:
        raise BatchRequestInvalid("'inputFormat' has no 'format'.", path="/inputFormat/format")
    check_format(format_of(given))
    return {**given, "format": str(given["format"]).lower()}


def _percent(body: Mapping[str, Any]) -> int:
    for name in _PERCENT_NAMES:
        value = body.get(name)
        if value is None:
            continue
        number = int(value) if isinstance(value, str) and value.isdecimal() else value
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 100:
            raise BatchRequestInvalid(f"'{name}' is {value!r}; it must be a whole number from 0 to 100.", path=f"/{name}")
        return number
    return 0


def _boolean(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("true", "false")):
        return _truth(value)
    raise BatchRequestInvalid(f"'{name}' must be true or false.", path=f"/{name}")


def _tags(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise BatchRequestInvalid("'tags' must be an object of lists of texts.", path="/tags")
    return {str(name): list(value) if isinstance(value, list) else [value] for name, value in given.items()}


def _replay(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise BatchRequestInvalid("'replay' must be an object.", path="/replay")
    replay: dict[str, Any] = {"predecessors": _ids(given, "predecessors")}
    if given.get("predecessorsByExternalId") is not None:
        replay["predecessorsByExternalId"] = _ids(given, "predecessorsByExternalId")
    if isinstance(given.get("reason"), str):
        replay["reason"] = given["reason"]
    return replay


def _ids(given: Mapping[str, Any], name: str) -> list[str]:
    values = given.get(name) or []
    if not isinstance(values, Sequence) or not all(isinstance(value, str) for value in values) or isinstance(values, str):
        raise BatchRequestInvalid(f"'{name}' must be a list of ids.", path=f"/replay/{name}")
    return [value.removeprefix("$").removeprefix("{").removesuffix("}") for value in values]


def _truth(value: Any) -> bool:
    return value.strip().lower() == "true" if isinstance(value, str) else bool(value)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value
