"""What commands do on a home folder, whether a server runs on it or not."""

from collections.abc import Callable
from pathlib import Path

from headrace.app.home import Home
from headrace.clock import SystemClock
from headrace.config import Settings
from headrace.governance import accounts
from headrace.schemas.importing import ImportReport, import_components


def issue_token(settings: Settings) -> str:
    """Return an access token for the technical account of a home folder."""
    home = Home(settings)
    return accounts.issue_token(home.control, settings.home, SystemClock())


def import_xdm(settings: Settings, folder: Path, on_stored: Callable[[int, int], None]) -> ImportReport:
    """Store the standard components of a folder in a home folder; a server that runs on it sees them at once.

    Args:
        settings: Name the home folder; a new one is prepared.
        folder: Folder ``components`` of the XDM sources, or one laid out like it.
        on_stored: Told after each component how many are stored, and how many there are to store.

    Raises:
        ImportRefused: A file is malformed, or a reference leads nowhere; nothing was stored.
        BreakingChange: A changed component would break a schema in use; nothing was stored.
    """
    home = Home(settings)
    try:
        home.prepare()
        return import_components(home.schemas, folder, home.sandboxes.all(), on_stored=on_stored)
    finally:
        home.control.close()
        home.log.close()
