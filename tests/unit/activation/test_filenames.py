"""Names of exported files."""

from dataclasses import replace

import pytest

from headrace.activation.filenames import FileNameTooLong, NameFacts, file_name, file_stem, folder_name, manifest_name
from headrace.clock import parse_iso

FACTS = NameFacts(
    destination="Amazon S3",
    audience_id="5e0fb6e1-1f0c-4c0e-9a7f-6a0c1f2b3d4e",
    audience_name="Luxury Riders (EU)",
    flow_id="c3d1",
    flow_name="VIPs to bucket",
    organization_name="Velo AG",
    sandbox_name="prod",
    started_at_ms=parse_iso("2027-02-14T04:00:09Z"),
)


@pytest.mark.parametrize(
    ("template", "stem"),
    [
        ("%DESTINATION%_%SEGMENT_ID%_%DATETIME(YYYYMMdd_HHmmss)%", f"Amazon_S3_{FACTS.audience_id}_20270214_040009"),
        ("%DESTINATION_NAME%-%SEGMENT_NAME%", "Amazon_S3-Luxury_Riders_(EU)"),
        ("%DESTINATION_INSTANCE_ID%_%DESTINATION_INSTANCE_NAME%", "c3d1_VIPs_to_bucket"),
        ("%ORGANIZATION_NAME%_%SANDBOX_NAME%_%TIMESTAMP%", "Velo_AG_prod_1802577609"),
        ("%SEGMENT_NAME%_%DATETIME(MMDDYYYY_HHMMSS)%", "Luxury_Riders_(EU)_02142027_040009"),
        ("x_%DATETIME(yyyymmddhhmmss)%", "x_20270214040009"),
        ("%our text%_tail", "our_text_tail"),
        ("always the same", "always the same"),
    ],
)
def test_macros_are_rendered(template: str, stem: str) -> None:
    assert file_stem(template, FACTS) == stem


@pytest.mark.parametrize("name", ["ä/ö\\ü", "a\u0000b", "日本"])
def test_what_stores_dislike_in_a_value_becomes_one_underscore(name: str) -> None:
    stem = file_stem("%SEGMENT_NAME%", replace(FACTS, audience_name=name))
    assert stem in ("_", "a_b")


def test_a_name_that_is_too_long_is_cut_in_the_audiences_name() -> None:
    stem = file_stem("%SEGMENT_NAME%_%SEGMENT_ID%", replace(FACTS, audience_name="x" * 300), room=10)
    assert len(stem) == 245
    assert stem.endswith(f"x_{FACTS.audience_id}")


def test_a_name_that_is_too_long_in_itself_is_refused() -> None:
    with pytest.raises(FileNameTooLong):
        file_stem("%DESTINATION_INSTANCE_NAME%", replace(FACTS, flow_name="x" * 300))


@pytest.mark.parametrize(
    ("file_type", "compression", "part", "name"),
    [
        ("CSV", "NONE", 1, "s.csv"),
        ("CSV", "GZIP", 2, "s_2.csv.gz"),
        ("JSON", "NONE", 3, "s_3.json"),
        ("JSON", "GZIP", 1, "s.json.gz"),
        ("PARQUET", "NONE", 1, "s.parquet"),
        ("PARQUET", "GZIP", 2, "s_2.gz.parquet"),
    ],
)
def test_the_part_number_stands_before_all_extensions(file_type: str, compression: str, part: int, name: str) -> None:
    assert file_name("s", part, file_type=file_type, compression=compression) == name


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("promo/2027/%SEGMENT_NAME%", "promo/2027/Luxury Riders (EU)"),
        ("promo/%SEGMENT_NAME%/%SEGMENT_ID%", f"promo/Luxury Riders (EU)/{FACTS.audience_id}"),
        ("promo", "promo"),
    ],
)
def test_folder_macros_are_rendered_unchanged(path: str, folder: str) -> None:
    assert folder_name(path, FACTS) == folder


def test_the_manifest_is_named_after_flow_and_run() -> None:
    assert manifest_name("f", "r") == "manifest-f-r.json"
