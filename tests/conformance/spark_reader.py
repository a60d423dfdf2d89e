"""Reads a lake with Apache Spark: a script for the environment of its own that `make spark` makes, never imported by the tests.

Arguments: the lake's folder, the name of a table, and where the answer goes (JSON); none to fetch Spark's packages and end.
"""

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession  # type: ignore[import-not-found]  # is not in the environment that the types are checked in

PACKAGES = "org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.10.0,org.xerial:sqlite-jdbc:3.46.1.3"


def session(lake: str) -> "SparkSession":
    """Return a session in which the lake's own catalog is the catalog ``headrace``."""
    catalog = "spark.sql.catalog.headrace"
    settings = {
        "spark.jars.packages": PACKAGES,
        "spark.jars.ivy": str(Path(sys.prefix) / "ivy"),
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.type": "jdbc",
        f"{catalog}.uri": f"jdbc:sqlite:{lake}/catalog.sqlite",
        f"{catalog}.jdbc.schema-version": "V1",
        f"{catalog}.warehouse": f"{lake}/warehouse",
    }
    builder = SparkSession.builder.master("local[1]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def answers(spark: "SparkSession", table: str) -> dict[str, object]:
    """Return what Spark says of a table, through the catalog and straight from the newest metadata file."""
    (current,) = spark.sql(f"SELECT file FROM headrace.{table}.metadata_log_entries ORDER BY timestamp DESC LIMIT 1").collect()
    rows = spark.sql(f"SELECT to_json(struct(*)) AS row FROM headrace.{table} ORDER BY _headrace_offset, _headrace_row")
    return {
        "rows": [json.loads(item.row) for item in rows.collect()],
        "rows_of_the_file": spark.read.format("iceberg").load(current.file).count(),
        "files": spark.sql(f"SELECT * FROM headrace.{table}.files").count(),
        "batches": {
            item.batch: item["count"]
            for item in spark.sql(
                f"SELECT _headrace_batch AS batch, count(*) AS count FROM headrace.{table} GROUP BY 1"
            ).collect()
        },
        "one_batch": spark.sql(f"SELECT * FROM headrace.{table} WHERE _headrace_batch = 'b4'").count(),
        "operations": [item.operation for item in spark.sql(f"SELECT operation FROM headrace.{table}.snapshots").collect()],
    }


if __name__ == "__main__":
    if len(sys.argv) == 1:
        session("/nowhere").stop()
    else:
        folder, name, target = sys.argv[1:]
        Path(target).write_text(json.dumps(answers(session(folder), name)))
