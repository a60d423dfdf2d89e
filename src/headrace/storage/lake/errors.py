"""What can go wrong in the lake besides what every store can."""

from headrace.errors import NotFound


class TableUnknown(NotFound):
    """The lake holds no such table: nothing was ever written to the dataset."""

    code = "lake_table_unknown"
