"""What a dataflow exports, as the wire describes it: audiences, attributes, mandatory fields and keys.

`Transform` reads the parameters of a dataflow's transformation, checks what is new in them against what exists, and returns
them in the form in which they are stored and shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headrace.activation.errors import SelectorInvalid
from headrace.activation.mapping import AttributeMapping, MappingReader, check_columns, default_target
from headrace.activation.schedules import FULL, parse_export_mode, parse_schedule
from headrace.destinations.base import Destination
from headrace.errors import NotFound
from headrace.model import Sandbox

DEFAULT_FILE_NAME = "%DESTINATION%_%SEGMENT_ID%_%DATETIME(YYYYMMdd_HHmmss)%"
MAX_FILE_NAME_CHARACTERS = 255
CONSENT_IGNORED = "aep-compatible"
CONSENT_ENFORCEMENTS = ("enforced", CONSENT_IGNORED)

_HERE = "/transformations/0/params"
_FILE_KEYS = ("filenameTemplate", "fileNameTemplate", "exportMode", "schedule")
_SERVER_KEYS = ("createTime", "updateTime")

Params = Mapping[str, Any]


class AudienceLookup(Protocol):
    """What dataflows ask of the audiences."""

    def get(self, sandbox: Sandbox, audience_id: str) -> Any:
        """Return an audience.

        Raises:
            NotFound: There is none with this id.
        """
        ...


class ColumnSource(Protocol):
    """What dataflows ask of the mapping sets."""

    def columns(self, sandbox: Sandbox, mapping_id: str, version: int, reader: MappingReader) -> list[AttributeMapping]:
        """Return the columns that a version of a mapping set describes.

        Raises:
            InvalidInput: The mapping set does not exist, or a mapping cannot be used.
        """
        ...


def audience_id_of(value: Params) -> str:
    """Return the platform's id of the audience that a selector's value names."""
    return str(value.get("systemSegmentId") or value.get("id") or "")


class Transform:
    """Checks the transformation of one destination dataflow."""

    def __init__(
        self,
        sandbox: Sandbox,
        destination: type[Destination],
        target_params: Params,
        *,
        reader: MappingReader,
        audiences: AudienceLookup,
        mapping_sets: ColumnSource,
        now_ms: int,
    ) -> None:
        self._sandbox = sandbox
        self._destination = destination
        self._is_file = destination.kind == "file"
        self._exports_complex_types = target_params.get("exportComplexTypes") in (True, "true", "True")
        self._reader = reader
        self._audiences = audiences
        self._mapping_sets = mapping_sets
        self._now_seconds = str(now_ms // 1000)

    def normalised(self, params: Params, previous: Params) -> dict[str, Any]:
        """Return the parameters as they are stored.

        Args:
            params: As they came, or as a patch left them.
            previous: As they were stored before; what did not change is not checked again.

        Raises:
            InvalidInput: Something new in them cannot be activated.
        """
        legacy = _mapping_at(params, "profileSelectors")
        attributes = self._attributes(legacy, _mapping_at(previous, "profileSelectors"))
        mapping = self._profile_mapping(_mapping_at(params, "profileMapping"), _mapping_at(previous, "profileMapping"))
        mandatory = _list_at(params, "mandatoryFields") or _list_at(legacy, "mandatoryFields")
        keys = _list_at(params, "primaryFields") or _list_at(legacy, "primaryFields")
        result: dict[str, Any] = {"segmentSelectors": {"selectors": self._selectors(params, previous)}}
        if self._is_file:
            targets = self._targets(mapping)
            result |= {
                "mandatoryFields": self._mandatory(mandatory, previous, targets),
                "primaryFields": self._keys(keys, previous),
                "profileMapping": mapping,
            }
        if attributes or not self._is_file:
            result["profileSelectors"] = {"selectors": attributes}
        if consent := params.get("consentEnforcement"):
            result["consentEnforcement"] = _consent_enforcement(consent)
        return result

    # audiences

    def _selectors(self, params: Params, previous: Params) -> list[dict[str, Any]]:
        before = {audience_id_of(entry["value"]): entry for entry in stored_selectors(previous)}
        found: list[dict[str, Any]] = []
        seen: set[str] = set()
        for index, entry in enumerate(_list_at(_mapping_at(params, "segmentSelectors"), "selectors")):
            here = f"{_HERE}/segmentSelectors/selectors/{index}"
            value = self._audience_value(entry, here)
            audience_id = audience_id_of(value)
            if audience_id in seen:
                raise SelectorInvalid(f"Audience '{audience_id}' is selected twice.", path=f"{here}/value/id")
            seen.add(audience_id)
            found.append(self._selector(value, before.get(audience_id), here))
        return found

    def _audience_value(self, entry: Any, here: str) -> dict[str, Any]:
        value = entry.get("value") if isinstance(entry, Mapping) else None
        if not isinstance(value, Mapping) or not isinstance(value.get("id"), str) or not value["id"]:
            raise SelectorInvalid("An audience selector needs value.id.", path=f"{here}/value/id")
        if entry.get("type", "PLATFORM_SEGMENT") != "PLATFORM_SEGMENT":
            raise SelectorInvalid(f"type must be PLATFORM_SEGMENT, got {entry['type']!r}.", path=f"{here}/type")
        return {name: item for name, item in value.items() if name not in _SERVER_KEYS}

    def _selector(self, value: dict[str, Any], before: Params | None, here: str) -> dict[str, Any]:
        known = {} if before is None else {name: item for name, item in before["value"].items() if name not in _SERVER_KEYS}
        if known == value and before is not None:
            return dict(before)
        audience = self._audience(audience_id_of(value), f"{here}/value/id")
        if before is None and audience.lifecycle_state not in ("published", "active"):
            raise SelectorInvalid(
                f"Audience '{audience.name}' is {audience.lifecycle_state}; only published audiences can be activated.",
                path=f"{here}/value/id",
            )
        kept = {name: item for name, item in value.items() if name not in _FILE_KEYS}
        kept = {**kept, "name": value.get("name") or audience.name, "description": value.get("description") or ""}
        if self._is_file:
            kept |= self._file_settings(value, f"{here}/value")
        if kept == known and before is not None:
            return dict(before)
        created = self._now_seconds if before is None else before["value"]["createTime"]
        return {"type": "PLATFORM_SEGMENT", "value": {**kept, "createTime": created, "updateTime": self._now_seconds}}

    def _audience(self, audience_id: str, path: str) -> Any:
        try:
            return self._audiences.get(self._sandbox, audience_id)
        except NotFound as error:
            raise SelectorInvalid(f"Audience '{audience_id}' does not exist.", path=path) from error

    def _file_settings(self, value: Params, here: str) -> dict[str, Any]:
        template = value.get("filenameTemplate", value.get("fileNameTemplate")) or DEFAULT_FILE_NAME
        check_file_name(template, f"{here}/filenameTemplate")
        mode = parse_export_mode(value, here)
        can = self._destination.capabilities
        offered = can.full_frequencies if mode == FULL else can.incremental_frequencies
        schedule = parse_schedule(value.get("schedule"), mode, f"{here}/schedule", offered=offered)
        shown = {**value["schedule"], "triggerType": schedule.trigger}
        return {"filenameTemplate": template, "exportMode": mode, "schedule": shown}

    # attributes

    def _attributes(self, given: Params, previous: Params) -> list[dict[str, Any]]:
        before = {selector_path(entry): entry for entry in _list_at(previous, "selectors")}
        found: list[dict[str, Any]] = []
        seen: set[str] = set()
        for index, entry in enumerate(_list_at(given, "selectors")):
            here = f"{_HERE}/profileSelectors/selectors/{index}"
            path = _attribute_path(entry, here)
            if path in seen:
                raise SelectorInvalid(f"Attribute '{path}' is selected twice.", path=f"{here}/value/path")
            seen.add(path)
            found.append(before[path] if path in before else self._attribute(entry, path, here))
        return found

    def _attribute(self, entry: Params, path: str, here: str) -> dict[str, Any]:
        identity = entry["value"].get("identity")
        code = str(identity.get("namespace") or path) if isinstance(identity, Mapping) else ""
        column = (
            self._reader.identity(code, default_target(path), f"{here}/value/path")
            if code
            else self._reader.source(path, default_target(path), f"{here}/value/path")
        )
        if self._is_file:
            check_columns([column], f"{here}/value/path", exports_complex_types=self._exports_complex_types)
        value: dict[str, Any] = {"path": path, "operator": "EXISTS", "mapping": _identical_mapping(path, bool(code))}
        if code:
            value["identity"] = {"namespace": column.namespace}
        return {"type": "JSON_PATH", "value": value}

    def _profile_mapping(self, given: Params, previous: Params) -> dict[str, Any]:
        if not given or not self._is_file:
            return {}
        mapping_id, version = given.get("mappingId"), given.get("mappingVersion", 0)
        if not isinstance(mapping_id, str) or not isinstance(version, int):
            raise SelectorInvalid(
                "profileMapping needs mappingId (text) and mappingVersion (number).", path=f"{_HERE}/profileMapping"
            )
        wanted = {"mappingId": mapping_id, "mappingVersion": version}
        if wanted != previous:
            columns = self._mapping_sets.columns(self._sandbox, mapping_id, version, self._reader)
            check_columns(columns, "/mappings", exports_complex_types=self._exports_complex_types)
        return wanted

    def _targets(self, mapping: Params) -> frozenset[str]:
        if not mapping:
            return frozenset()
        mapped = self._mapping_sets.columns(self._sandbox, mapping["mappingId"], mapping["mappingVersion"], self._reader)
        return frozenset(column.target for column in mapped)

    # keys

    def _mandatory(self, given: Sequence[Any], previous: Params, targets: frozenset[str]) -> list[str]:
        before = _list_at(previous, "mandatoryFields")
        for index, name in enumerate(given):
            here = f"{_HERE}/mandatoryFields/{index}"
            if not isinstance(name, str) or not name:
                raise SelectorInvalid("A mandatory field is a namespace, an attribute's path or a column.", path=here)
            if name in before or name in targets or self._reader.is_namespace(name):
                continue
            self._reader.source(name, name, here)
        return list(given)

    def _keys(self, given: Sequence[Any], previous: Params) -> list[dict[str, str]]:
        here = f"{_HERE}/primaryFields"
        before = _list_at(previous, "primaryFields")
        keys = [dict(key) if key in before else self._key(key, f"{here}/{index}") for index, key in enumerate(given)]
        kinds = {key["fieldType"] for key in keys}
        if len(keys) > 2 or len(kinds) > 1 or (kinds == {"IDENTITY"} and len(keys) > 1):
            raise SelectorInvalid("Rows are made unique by one identity namespace, one attribute, or two attributes.", path=here)
        return keys

    def _key(self, key: Any, here: str) -> dict[str, str]:
        kind = key.get("fieldType") if isinstance(key, Mapping) else None
        if kind == "IDENTITY":
            code = str(key.get("identityNamespace") or "")
            if not self._reader.is_namespace(code):
                raise SelectorInvalid(f"No identity namespace has the code '{code}'.", path=f"{here}/identityNamespace")
            return {"fieldType": "IDENTITY", "identityNamespace": code}
        if kind in ("ATTRIBUTE", None) and isinstance(key, Mapping) and isinstance(key.get("attributePath"), str):
            self._reader.check_attribute(key["attributePath"], f"{here}/attributePath")
            return {"fieldType": "ATTRIBUTE", "attributePath": key["attributePath"]}
        raise SelectorInvalid(
            "A key is {fieldType: IDENTITY, identityNamespace} or {fieldType: ATTRIBUTE, attributePath}.", path=here
        )


def stored_selectors(params: Params) -> list[dict[str, Any]]:
    """Return the audience selectors of stored parameters."""
    return list(_list_at(_mapping_at(params, "segmentSelectors"), "selectors"))


def stored_attributes(params: Params) -> list[dict[str, Any]]:
    """Return the attribute selectors of stored parameters."""
    return list(_list_at(_mapping_at(params, "profileSelectors"), "selectors"))


def selector_path(entry: Params) -> str:
    """Return the path of a stored attribute selector."""
    return str(entry["value"]["path"])


def check_file_name(template: Any, path: str) -> None:
    """Refuse a template of file names that cannot give one.

    Raises:
        SelectorInvalid: It is no text, too long, has a folder in it, or names the time in two ways.
    """
    if not isinstance(template, str):
        raise SelectorInvalid("filenameTemplate must be a text.", path=path)
    if "/" in template or "\\" in template:
        raise SelectorInvalid("filenameTemplate names a file, not a folder.", path=path)
    if "%TIMESTAMP%" in template and "%DATETIME(" in template:
        raise SelectorInvalid("filenameTemplate may hold %DATETIME(…)% or %TIMESTAMP%, not both.", path=path)
    literal = "".join(template.split("%")[::2])
    if len(literal) > MAX_FILE_NAME_CHARACTERS:
        raise SelectorInvalid(f"A file name has at most {MAX_FILE_NAME_CHARACTERS} characters.", path=path)


def _consent_enforcement(value: Any) -> str:
    if value not in CONSENT_ENFORCEMENTS:
        raise SelectorInvalid(
            f"consentEnforcement must be one of {', '.join(CONSENT_ENFORCEMENTS)}, got {value!r}.",
            path=f"{_HERE}/consentEnforcement",
        )
    return str(value)


def _attribute_path(entry: Any, here: str) -> str:
    value = entry.get("value") if isinstance(entry, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(value.get("path"), str) or not value["path"]:
        raise SelectorInvalid("An attribute selector needs value.path.", path=f"{here}/value/path")
    if entry.get("type", "JSON_PATH") != "JSON_PATH":
        raise SelectorInvalid(f"type must be JSON_PATH, got {entry['type']!r}.", path=f"{here}/type")
    if value.get("operator", "EXISTS") != "EXISTS":
        raise SelectorInvalid(f"operator must be EXISTS, got {value['operator']!r}.", path=f"{here}/value/operator")
    return str(value["path"])


def _identical_mapping(path: str, is_identity: bool) -> dict[str, Any]:
    return {
        "sourceType": "text/x.schema-path",
        "source": path,
        "destination": path,
        "identity": is_identity,
        "primaryIdentity": False,
        "functionVersion": 0,
        "copyModeMapping": False,
        "sourceAttribute": path,
        "destinationXdmPath": path,
    }


def _mapping_at(node: Params, name: str) -> Params:
    value = node.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise SelectorInvalid(f"'{name}' must be an object.", path=f"{_HERE}/{name}")
    return value


def _list_at(node: Params, name: str) -> list[Any]:
    value = node.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise SelectorInvalid(f"'{name}' must be a list.", path=f"{_HERE}/{name}")
    return value
