"""Rows of a batch that are set aside: files of JSON lines with the reasons, and the counts that the batch shows."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import msgspec

from headrace.ingest.files import CORRUPT, SourceRow
from headrace.ingest.mapping.mapper import TRANSFORM_ERROR
from headrace.schemas.conversions import CONSTRAINT_VIOLATED, CONVERSION_FAILED, FIELD_UNKNOWN, REQUIRED_MISSING

FOLDER, SAMPLE = "row_errors", "row_errors_sample.json"
FAILED_WITHOUT_DIAGNOSTICS, SUMMARY, THRESHOLD_EXCEEDED = "INGEST-1211-400", "INGEST-1212-400", "INGEST-1913-400"
_FILE_BYTES = 64_000_000
_SAMPLES = 100

_KINDS: Mapping[str, str] = MappingProxyType({CORRUPT: "parsing", CONVERSION_FAILED: "conversion", TRANSFORM_ERROR: "mapping"})
_OTHER_KIND = "validation"
_DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        CORRUPT: "Rows are corrupt: they cannot be parsed.",
        CONVERSION_FAILED: "TypeCompatibilityException: values cannot be converted to the types of the schema.",
        FIELD_UNKNOWN: "Rows have fields that the schema does not have.",
        CONSTRAINT_VIOLATED: "Values violate constraints of the schema.",
        REQUIRED_MISSING: "A required field is missing or null.",
        TRANSFORM_ERROR: "Mapper Transform Error",
    }
)
_encode = msgspec.json.Encoder().encode


class RowErrors:
    """Collects the rows of one batch that cannot be ingested."""

    def __init__(self, folder: Path, *, has_diagnostics: bool) -> None:
        """Begin.

        Args:
            folder: The batch's folder under ``quarantine``; what a former attempt left there is replaced.
            has_diagnostics: Whether rows are kept; else they are counted only.
        """
        self._folder = folder
        self._has_diagnostics = has_diagnostics
        self._files: dict[str, _ErrorFile] = {}
        self._samples: list[bytes] = []
        self.counts: dict[str, int] = {}
        for old in (folder / FOLDER).glob("*.json"):
            old.unlink()

    @property
    def count(self) -> int:
        """Number of rows set aside."""
        return sum(self.counts.values())

    def add(self, code: str, message: str, row: SourceRow, file_name: str) -> None:
        """Set one row aside.

        Args:
            code: Full code, such as ``INGEST-1902-400``.
            message: What is wrong and where.
            row: The row.
            file_name: The file it came from.
        """
        self.counts[code] = self.counts.get(code, 0) + 1
        if not self._has_diagnostics:
            return
        content = row.row if row.row is not None else {"_corrupt_record": row.text.decode("utf-8", "replace")}
        line = _encode({**content, "_errors": [{"code": _short(code), "message": message}], "_filename": file_name}) + b"\n"
        if len(self._samples) < _SAMPLES:
            self._samples.append(line)
        kind = _KINDS.get(code, _OTHER_KIND)
        if kind not in self._files:
            self._files[kind] = _ErrorFile(self._folder / FOLDER, kind)
        self._files[kind].write(line)

    def close(self) -> None:
        """Bring everything to disk."""
        while self._files:
            self._files.popitem()[1].close()
        if self._samples:
            with (self._folder / SAMPLE).open("wb") as sample:
                sample.writelines(self._samples)

    def wire_errors(self, rows_ingested: int, *, is_over_threshold: bool) -> list[dict[str, Any]]:
        """Return the batch's ``errors`` on the wire; none when no row was set aside."""
        if not self.count:
            return []
        if not self._has_diagnostics:
            text = "Rows could not be parsed, converted or validated. Send the batch with enableErrorDiagnostics to see which."
            return [{"code": FAILED_WITHOUT_DIAGNOSTICS, "description": text}]
        text = f"Found {self.count} errors in the data; {rows_ingested} rows were ingested. The diagnostic files have details."
        errors: list[dict[str, Any]] = [{"code": SUMMARY, "description": text}]
        if is_over_threshold:
            text = "More rows are in error than partialIngestionPercent allows; nothing was ingested."
            errors.append({"code": THRESHOLD_EXCEEDED, "description": text, "recordCount": self.count})
        for code, count in self.counts.items():
            errors.append({"code": code, "description": _DESCRIPTIONS.get(code, code), "recordCount": count})
        return errors


class _ErrorFile:
    """Numbered files of one kind of error."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._number = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self._opened()

    def write(self, line: bytes) -> None:
        if self._file.tell() >= _FILE_BYTES:
            self.close()
            self._number += 1
            self._file = self._opened()
        self._file.write(line)

    def close(self) -> None:
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())

    def _opened(self) -> IO[bytes]:
        return (self._folder / f"{self._kind}_errors_{self._number}.json").open("wb")


def _short(code: str) -> str:
    return code.split("-")[1] if code.startswith("INGEST-") else code
