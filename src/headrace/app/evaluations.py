"""What evaluations of audiences read of a home folder."""

from headrace.app.home import Home
from headrace.audience.surroundings import HomeSurroundings


def surroundings_of(home: Home) -> HomeSurroundings:
    """Return what evaluations of audiences read."""
    return HomeSurroundings(
        reader=lambda: home.reader,
        rules=home.rules,
        namespaces=home.namespaces,
        catalog=home.catalog,
        schemas=home.schemas,
        audiences=home.audiences,
        lake=home.open_lake,
    )
