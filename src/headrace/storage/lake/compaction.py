"""Which small files of a table to merge.

Only neighbours are merged, so that the files of a table stay in the order in which their rows were accepted, and only files of
one day. A day that is over becomes as few files as possible. In the present day files are merged when the result is several
times as large as the largest of them: each row is then written again a handful of times, however many commits the day has.
"""

from collections.abc import Iterator, Sequence

from headrace.storage.lake.live import LiveFile

TARGET_BYTES = 128_000_000
LEAST_FILES = 8
_MOST_FILES = 500
_GROWTH = 4


def files_to_merge(files: Sequence[LiveFile], today: int, *, target_bytes: int = TARGET_BYTES) -> Sequence[LiveFile]:
    """Return the files to merge next, in the order of their rows; none when it is not worth it.

    Args:
        files: All files of a table, in the order of their rows.
        today: The present day; later files of it may still come.
        target_bytes: Largest sum of the files' sizes. A file of half this size is large enough.
    """
    for stretch in _stretches(files, target_bytes // 2):
        day = stretch[0].day
        found = _fitting(stretch, target_bytes) if day is not None and day < today else _growing(stretch, target_bytes)
        if found:
            return found
    return ()


def _stretches(files: Sequence[LiveFile], small_bytes: int) -> Iterator[list[LiveFile]]:
    """Yield neighbours that are small and of one day."""
    stretch: list[LiveFile] = []
    for file in files:
        is_small = file.entry.file_size_in_bytes < small_bytes
        if stretch and (not is_small or file.day != stretch[0].day):
            yield stretch
            stretch = []
        if is_small:
            stretch.append(file)
    if stretch:
        yield stretch


def _fitting(stretch: Sequence[LiveFile], target_bytes: int) -> Sequence[LiveFile]:
    """Return the first neighbours that together stay below the target."""
    for start in range(len(stretch) - 1):
        end = _end(stretch, start, target_bytes)
        if end - start >= 2:
            return stretch[start:end]
    return ()


def _growing(stretch: Sequence[LiveFile], target_bytes: int) -> Sequence[LiveFile]:
    """Return the first neighbours that are many, and of which none makes up much of the result."""
    sizes = [file.entry.file_size_in_bytes for file in stretch]
    for start in range(len(stretch) - LEAST_FILES + 1):
        largest = total = found = 0
        for end in range(start, _end(stretch, start, target_bytes)):
            largest, total = max(largest, sizes[end]), total + sizes[end]
            if end - start + 1 >= LEAST_FILES and largest * _GROWTH <= total:
                found = end + 1
        if found:
            return stretch[start:found]
    return ()


def _end(stretch: Sequence[LiveFile], start: int, target_bytes: int) -> int:
    total, end = 0, start
    while end < len(stretch) and end - start < _MOST_FILES:
        total += stretch[end].entry.file_size_in_bytes
        if total > target_bytes:
            break
        end += 1
    return end
