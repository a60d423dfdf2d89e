"""Names of exported files and folders: macros, extensions, part numbers."""

import re
from dataclasses import dataclass, replace

from headrace.clock import from_ms
from headrace.errors import InvalidInput

MAX_CHARACTERS = 255
_UNSAFE = re.compile(r"[^A-Za-z0-9._()!'*-]+")
_MACRO = re.compile(r"%([^%]*)%")
_DATE_TIME = re.compile(r"DATETIME\(([^()]*)\)")
_DATE_PART = re.compile(r"YYYY|yyyy|MM|DD|dd|HH|hh|mm|SS|ss")
_DATE_FORMATS = {"YYYY": "%Y", "yyyy": "%Y", "DD": "%d", "dd": "%d", "HH": "%H", "hh": "%H", "mm": "%M", "SS": "%S", "ss": "%S"}

EXTENSIONS = {
    ("CSV", "NONE"): ".csv",
    ("CSV", "GZIP"): ".csv.gz",
    ("JSON", "NONE"): ".json",
    ("JSON", "GZIP"): ".json.gz",
    ("PARQUET", "NONE"): ".parquet",
    ("PARQUET", "GZIP"): ".gz.parquet",
}
"""Extension by (file type, compression)."""


class FileNameTooLong(InvalidInput):
    """The template gives a name that is too long, however short the audience's name is."""

    code = "export_file_name_too_long"


@dataclass(frozen=True)
class NameFacts:
    """What macros stand for.

    Attributes:
        destination: Name of the connection spec.
        audience_id: Id of the audience.
        audience_name: Name of the audience.
        flow_id: Id of the dataflow.
        flow_name: Name of the dataflow.
        organization_name: Name of the organisation.
        sandbox_name: Name of the sandbox.
        started_at_ms: When the run started (epoch ms).
    """

    destination: str
    audience_id: str
    audience_name: str
    flow_id: str
    flow_name: str
    organization_name: str
    sandbox_name: str
    started_at_ms: int


def file_stem(template: str, facts: NameFacts, *, room: int = 0) -> str:
    """Return the name of a run's files, without part number and extension.

    A run of characters that stores dislike in a macro's value becomes one ``_``. When the name is too long, the audience's
    name is cut.

    Args:
        template: Text with macros between percent signs.
        facts: What they stand for.
        room: Characters to leave for part number and extension.

    Raises:
        FileNameTooLong: It is too long even without the audience's name.
    """
    stem = _rendered(template, facts)
    excess = len(stem) + room - MAX_CHARACTERS
    if excess <= 0:
        return stem
    kept = len(_safe(facts.audience_name)) - excess
    if "%SEGMENT_NAME%" not in template or kept < 0:
        raise FileNameTooLong(
            f"The file name template gives names of {len(stem) + room} characters; {MAX_CHARACTERS} are allowed.",
            path="filenameTemplate",
        )
    count = template.count("%SEGMENT_NAME%")
    kept = len(_safe(facts.audience_name)) - -(-excess // count)
    return _rendered(template, replace(facts, audience_name=_safe(facts.audience_name)[: max(kept, 0)]))


def file_name(stem: str, part: int, *, file_type: str, compression: str) -> str:
    """Return the name of one part of a run, from 1: ``stem.csv``, then ``stem_2.csv``."""
    number = "" if part == 1 else f"_{part}"
    return f"{stem}{number}{EXTENSIONS[file_type, compression]}"


def folder_name(path: str, facts: NameFacts) -> str:
    """Return a folder with its macros rendered unchanged, spaces and all."""
    return path.replace("%SEGMENT_NAME%", facts.audience_name.replace("/", "_")).replace("%SEGMENT_ID%", facts.audience_id)


def manifest_name(flow_id: str, run_id: str) -> str:
    """Return the name of the manifest of a run."""
    return f"manifest-{flow_id}-{run_id}.json"


def _rendered(template: str, facts: NameFacts) -> str:
    return _MACRO.sub(lambda match: _value(match[1], facts), template)


def _value(macro: str, facts: NameFacts) -> str:
    values = {
        "DESTINATION": facts.destination,
        "DESTINATION_NAME": facts.destination,
        "SEGMENT_ID": facts.audience_id,
        "SEGMENT_NAME": facts.audience_name,
        "DESTINATION_INSTANCE_ID": facts.flow_id,
        "DESTINATION_INSTANCE_NAME": facts.flow_name,
        "ORGANIZATION_NAME": facts.organization_name,
        "SANDBOX_NAME": facts.sandbox_name,
    }
    if macro in values:
        return _safe(values[macro])
    if macro == "TIMESTAMP":
        return str(facts.started_at_ms // 1000)
    if date_time := _DATE_TIME.fullmatch(macro):
        return _dated(date_time[1], facts.started_at_ms)
    return _safe(macro)  # custom text


def _dated(pattern: str, instant_ms: int) -> str:
    # The published patterns disagree about letter case (YYYYMMdd_HHmmss, MMDDYYYY_HHMMSS, yyyymmddhhmmss), and so
    # `MM`/`mm` mean the month before the hour was named, and the minute after it.
    has_hour = False
    when = from_ms(instant_ms)

    def part(match: re.Match[str]) -> str:
        nonlocal has_hour
        text = match[0]
        if text in ("HH", "hh"):
            has_hour = True
        if text in ("MM", "mm"):
            return when.strftime("%M" if has_hour else "%m")
        return when.strftime(_DATE_FORMATS[text])

    return _safe(_DATE_PART.sub(part, pattern))


def _safe(value: str) -> str:
    return _UNSAFE.sub("_", value)
