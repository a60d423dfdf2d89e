"""A completed batch: its files become valid rows and row errors, then one claim check in the topic ``records``.

The work is cut into pieces, and may begin again at any point: everything written before the claim check stands in folders of the
batch that a new attempt replaces. Only the claim check makes the rows count; the note `ANNOUNCED` tells that it was given.
"""

import gc
import logging
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import msgspec

from headrace.clock import Clock
from headrace.errors import NotFound, Transient
from headrace.ingest.batch_folders import ANNOUNCED, STAGING, quarantine_folder, remove_uploads, staging_folder
from headrace.ingest.files import CORRUPT, EMPTY_FILE, FileFormat, FileUnreadable, SourceRow, columns_in, read_rows
from headrace.ingest.mapping.mapper import TRANSFORM_ERROR, Mapper
from headrace.ingest.row_errors import RowErrors
from headrace.ingest.valid_rows import ValidRows
from headrace.model import BatchReady, Sandbox, encode_entry
from headrace.schemas import SchemaRegistry
from headrace.schemas.conversions import RowConverter, RowError
from headrace.storage.disk import mapped_full, write_atomically
from headrace.storage.log import Log
from headrace.telemetry import log

RECORDS = "records"
IDLE_LIMIT_MS = 24 * 3_600_000
PROMOTION_FAILED = "CONNECTOR-2001-500"
_encode = msgspec.json.Encoder().encode

Convert = Callable[[dict[str, Any]], dict[str, Any]]


class UploadedFile(msgspec.Struct, frozen=True):
    """A file of a batch.

    Attributes:
        name: The name that its uploader gave it.
        path: Where it lies.
        byte_count: Its size.
    """

    name: str
    path: Path
    byte_count: int


class CompletedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch whose files are all there.

    Attributes:
        sandbox: Its sandbox.
        id: Its id.
        dataset: Number of the dataset.
        schema_id: Schema of the dataset.
        files: Its files.
        format: How to read them.
        error_percent: Most rows in a hundred that may be set aside.
        has_diagnostics: Whether the rows set aside are kept.
        is_upsert: Whether a row changes only the attributes that it holds.
        is_validation_disabled: Whether rows are taken as they are.
        predecessors: Batches that this one replaces.
        mapping: Id and version of the mapping set that makes records of the rows; None when they are records.
    """

    sandbox: Sandbox
    id: str
    dataset: int
    schema_id: str
    files: tuple[UploadedFile, ...]
    format: FileFormat
    error_percent: int = 0
    has_diagnostics: bool = False
    is_upsert: bool = False
    is_validation_disabled: bool = False
    predecessors: tuple[str, ...] = ()
    mapping: tuple[str, int] | None = None


class BatchBook(Protocol):
    """Where completed batches are found, and where it is written what became of them."""

    def next_completed(self) -> CompletedBatch | None:
        """Return the oldest batch that is ``loaded``, or one in ``staging`` that was not announced."""
        ...

    def started(self, batch: CompletedBatch) -> None:
        """Note that the batch is being processed (``staging``)."""
        ...

    def validated(self, batch: CompletedBatch, errors: Sequence[Mapping[str, Any]], metrics: Mapping[str, int]) -> None:
        """Note the outcome of the validation of a batch that will be promoted."""
        ...

    def failed(self, batch: CompletedBatch, errors: Sequence[Mapping[str, Any]], metrics: Mapping[str, int]) -> None:
        """Note that the batch has failed."""
        ...

    def abandon_idle(self) -> int | None:
        """Give up open batches that nobody has touched for `IDLE_LIMIT_MS`.

        Returns:
            The instant at which the next one is to be given up (epoch ms); None when no batch is open.
        """
        ...


class Mappers(Protocol):
    """Gives mapping sets in a form that runs."""

    def mapper(self, sandbox: Sandbox, mapping_id: str, version: int, schema_id: str) -> Mapper:
        """Return the compiled mapping set.

        Raises:
            NotFound: The sandbox has no such mapping set or version.
        """
        ...


class BatchLoader:
    """Processes completed batches, one at a time; there is one loader per home folder."""

    def __init__(
        self, book: BatchBook, schemas: SchemaRegistry, record_log: Log, home: Path, clock: Clock, mappers: Mappers | None = None
    ) -> None:
        """Open the loader.

        Args:
            book: Names the batches.
            schemas: Gives their schemas.
            record_log: Takes the claim checks.
            home: Holds ``staging/`` and ``quarantine/``.
            clock: Stamps the acceptance.
            mappers: Gives mapping sets; without it a batch that names one fails.
        """
        self._book = book
        self._schemas = schemas
        self._topic = record_log.topic(RECORDS)
        self._home = home
        self._clock = clock
        self._mappers = mappers
        self._work: Generator[None] | None = None
        self._batch: CompletedBatch | None = None
        self._sweep_at_ms = 0
        self._loaded = self._failed = 0

    def step(self) -> bool:
        """Process a piece of a batch.

        Returns:
            Whether there was anything to do.

        Raises:
            StorageFull: There is no room; the batch begins again with the next step.
        """
        if self._clock.now_ms() >= self._sweep_at_ms:
            # A batch that is touched from now on is not due before a whole limit has passed.
            self._sweep_at_ms = self._book.abandon_idle() or self._clock.now_ms() + IDLE_LIMIT_MS
        if self._work is None:
            self._batch = self._book.next_completed()
            if self._batch is None:
                return False
            self._work = self._process(self._batch)
        was_collecting = gc.isenabled()
        gc.disable()  # rows are trees; looking for cycles in them costs more than decoding them
        try:
            with mapped_full("stage a batch"):
                next(self._work)
        except StopIteration:
            self._work = None
        except Transient:
            self._work = None
            raise
        except Exception as fault:  # one batch must not stop those behind it
            self._work = None
            self._give_up(fault)
        finally:
            if was_collecting:
                gc.enable()
        return True

    def next_due_ms(self) -> int | None:
        """Return the instant at which the next open batch may be given up."""
        return self._sweep_at_ms or None

    def status(self) -> dict[str, Any]:
        """Return the counters of the loader."""
        batch_id = self._batch.id if self._batch and self._work else ""
        return {"batch": batch_id, "is_idle": not batch_id, "batches_loaded": self._loaded, "batches_failed": self._failed}

    def close(self) -> None:
        """Stop in the middle of a batch; it begins again with the next loader."""
        if self._work is not None:
            self._work.close()
        self._work = None

    # --- one batch ----------------------------------------------------------------------------------------------------

    def _process(self, batch: CompletedBatch) -> Generator[None]:
        self._book.started(batch)
        valid = ValidRows(staging_folder(self._home, batch.id))
        errors = RowErrors(quarantine_folder(self._home, batch.id), has_diagnostics=batch.has_diagnostics)
        reason: FileUnreadable | None = None
        try:
            yield from self._sort_rows(batch, valid, errors)
        except FileUnreadable as error:
            reason = error
        finally:
            with closing(errors):
                valid.close()
        if reason is not None:
            valid.discard()
            self._fail(batch, [{"code": reason.error_code, "description": str(reason)}], errors, valid)
        elif self._is_over_threshold(batch, errors.count, valid.row_count):
            valid.discard()
            self._fail(batch, errors.wire_errors(0, is_over_threshold=batch.error_percent > 0), errors, valid)
        else:
            self._announce(batch, valid, errors)

    def _is_over_threshold(self, batch: CompletedBatch, failed: int, passed: int) -> bool:
        return failed * 100 > batch.error_percent * (failed + passed)

    def _announce(self, batch: CompletedBatch, valid: ValidRows, errors: RowErrors) -> None:
        metrics = _metrics(batch, errors.count, errors.count + valid.row_count)
        self._book.validated(batch, errors.wire_errors(valid.row_count, is_over_threshold=False), metrics)
        entry = BatchReady(
            sandbox=batch.sandbox.number,
            dataset=batch.dataset,
            batch_id=batch.id,
            files=tuple(f"{STAGING}/{batch.id}/{name}" for name in valid.names),
            row_count=valid.row_count,
            byte_count=valid.byte_count,
            accepted_at_ms=self._clock.now_ms(),
            is_upsert=batch.is_upsert,
            predecessors=batch.predecessors,
            is_typed=not batch.is_validation_disabled,
        )
        offset = self._topic.append([encode_entry(entry)])
        write_atomically(staging_folder(self._home, batch.id) / ANNOUNCED, str(offset).encode())
        self._loaded += 1
        remove_uploads(self._home, batch.id)

    def _fail(self, batch: CompletedBatch, reasons: list[dict[str, Any]], errors: RowErrors, valid: ValidRows) -> None:
        log("scheduler", logging.INFO, "A batch has failed.", batch=batch.id, errors=reasons)
        self._book.failed(batch, reasons, _metrics(batch, errors.count, errors.count + valid.row_count))
        self._failed += 1
        remove_uploads(self._home, batch.id)

    def _give_up(self, fault: Exception) -> None:
        assert self._batch is not None  # noqa: S101 - its work has just raised
        log("scheduler", logging.ERROR, "A batch met a defect.", batch=self._batch.id, reason=traceback.format_exc())
        text = f"Error occurred at promotion activity. {type(fault).__name__}; the server's log has the cause."
        self._book.failed(self._batch, [{"code": PROMOTION_FAILED, "description": text}], _metrics(self._batch, 0, 0))
        self._failed += 1

    # --- its rows -----------------------------------------------------------------------------------------------------

    def _sort_rows(self, batch: CompletedBatch, valid: ValidRows, errors: RowErrors) -> Iterator[None]:
        if not batch.files:
            raise FileUnreadable("The batch has no files.", error_code=EMPTY_FILE)
        try:
            form = self._schemas.full_form(batch.sandbox, batch.schema_id)
            convert = self._converter(batch, form)
            mapper = self._mapper(batch)
        except NotFound as error:
            raise FileUnreadable(str(error), error_code=PROMOTION_FAILED) from error
        accept = columns_in(form) if mapper is None and not batch.is_validation_disabled else _accept_any
        for file in sorted(batch.files, key=lambda item: item.name):
            try:
                for rows in read_rows(file.path, batch.format, accept_columns=accept, is_flat=mapper is not None):
                    valid.write(_converted(rows, convert, mapper, errors, file.name))
                    yield
            except FileUnreadable as error:
                text = f"File '{file.name}': {error}"
                raise FileUnreadable(text, error_code=error.error_code) from error

    def _converter(self, batch: CompletedBatch, form: Mapping[str, Any]) -> Convert:
        if batch.is_validation_disabled:
            return _as_it_is
        identities = self._schemas.identity_descriptors(batch.sandbox, batch.schema_id)
        return RowConverter(_without_required(form) if batch.is_upsert else form, identities).convert

    def _mapper(self, batch: CompletedBatch) -> Mapper | None:
        if batch.mapping is None:
            return None
        mapping_id, version = batch.mapping
        if self._mappers is None:
            raise NotFound(f"Mapping set '{mapping_id}' cannot be used here.")
        return self._mappers.mapper(batch.sandbox, mapping_id, version, batch.schema_id)


def _converted(
    rows: Sequence[SourceRow], convert: Convert, mapper: Mapper | None, errors: RowErrors, file_name: str
) -> list[bytes]:
    """Return the valid rows as lines of JSON; the others go to ``errors``."""
    lines = []
    for source in rows:
        row, text, fault = source
        if row is None:
            errors.add(CORRUPT, fault, source, file_name)
            continue
        try:
            lines.append(_converted_row(row, text, convert, mapper))
        except RowError as error:
            errors.add(error.error_code, error.message, source, file_name)
        except RecursionError:
            errors.add(CORRUPT, "The row is nested too deeply.", source, file_name)
    return lines


def _converted_row(row: dict[str, Any], text: bytes, convert: Convert, mapper: Mapper | None) -> bytes:
    mapping_faults = ""
    if mapper is not None:
        row, warnings = mapper.apply(row)
        mapping_faults = " ".join(warning.message for warning in warnings)
        text = b""
    try:
        record = convert(row)
    except RowError as error:
        if mapping_faults:  # a required value is missing because its mapping failed
            raise RowError(TRANSFORM_ERROR, f"{mapping_faults} {error.message}", error.path or "") from error
        raise
    return text if text and record is row else _encode(record)


def _metrics(batch: CompletedBatch, failed: int, total: int) -> dict[str, int]:
    return {
        "inputFileCount": len(batch.files),
        "inputByteSize": sum(file.byte_count for file in batch.files),
        "inputRecordCount": total,
        "failedRecordCount": failed,
        "outputRecordCount": 0,
        "outputByteSize": 0,
        "outputFileCount": 0,
        "partitionCount": 0,
    }


def _as_it_is(row: dict[str, Any]) -> dict[str, Any]:
    return row


def _accept_any(_: object) -> None:
    return


def _without_required(form: Any) -> Any:
    """Return a form that demands no field: an upsert holds what changes."""
    if isinstance(form, Mapping):
        return {
            key: _without_required(value)
            for key, value in form.items()
            if not (key == "required" and isinstance(value, list | tuple))
        }
    return form
