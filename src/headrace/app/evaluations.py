"""What evaluates audiences over a home folder."""

from concurrent.futures import ThreadPoolExecutor

from headrace.app.home import Home
from headrace.audience.preview import Previews
from headrace.audience.surroundings import HomeSurroundings
from headrace.engine.duckdb import DuckDbEngine


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


def previews_of(home: Home) -> Previews:
    """Return previews, which read in a thread of their own."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="preview")
    return Previews(home.audiences, surroundings_of(home), home.clock, engine=DuckDbEngine, executor=executor)
