"""Where the files of a batch lie.

Ids of batches and names of files come from outside: a batch whose id could leave its folder does not exist here, and files lie
under hashes of their names.
"""

import hashlib
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from headrace.catalog.errors import BatchUnknown

STAGING, QUARANTINE = "staging", "quarantine"
EXPORTS = "exports"  # beside the batches' folders in `STAGING`: files on their way to destinations
ANNOUNCED = "announced"
_UPLOADS = "files"
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def is_safe_id(batch_id: str) -> bool:
    """Tell whether a batch's id can be the name of a folder."""
    return _SAFE_ID.fullmatch(batch_id) is not None


def staging_folder(home: Path, batch_id: str) -> Path:
    """Return the folder of a batch's uploads and valid rows.

    Raises:
        BatchUnknown: The id is none that a batch with files can have.
    """
    return home / STAGING / _checked(batch_id)


def quarantine_folder(home: Path, batch_id: str) -> Path:
    """Return the folder of what a batch has set aside.

    Raises:
        BatchUnknown: The id is none that a batch with files can have.
    """
    return home / QUARANTINE / _checked(batch_id)


def upload_path(home: Path, batch_id: str, name: str) -> Path:
    """Return where an uploaded file lies.

    Raises:
        BatchUnknown: The id is none that a batch with files can have.
    """
    return staging_folder(home, batch_id) / _UPLOADS / hashlib.sha256(name.encode()).hexdigest()[:40]


def remove_uploads(home: Path, batch_id: str) -> None:
    """Delete a batch's uploaded files; its valid rows stay."""
    shutil.rmtree(staging_folder(home, batch_id) / _UPLOADS, ignore_errors=True)


def remove_forgotten_rows(home: Path, first_offset: int) -> None:
    """Delete the valid rows whose claim checks the log holds no more: nobody can ask for them again.

    Args:
        home: The home folder.
        first_offset: The smallest offset that the topic ``records`` still holds.
    """
    for note in (home / STAGING).glob(f"*/{ANNOUNCED}"):
        if int(note.read_text()) < first_offset:
            shutil.rmtree(note.parent, ignore_errors=True)


def batch_folders(home: Path) -> set[str]:
    """Return the ids of all batches that have a folder of uploads, of valid rows or of what was set aside."""
    found = {path.name for place in (STAGING, QUARANTINE) for path in (home / place).glob("*/") if is_safe_id(path.name)}
    return found - {EXPORTS}


def remove_batch_folders(home: Path, batch_ids: Iterable[str]) -> None:
    """Delete the folders of some batches."""
    for batch_id in batch_ids:
        shutil.rmtree(staging_folder(home, batch_id), ignore_errors=True)
        shutil.rmtree(quarantine_folder(home, batch_id), ignore_errors=True)


def _checked(batch_id: str) -> str:
    if not is_safe_id(batch_id):
        raise BatchUnknown(batch_id)
    return batch_id
