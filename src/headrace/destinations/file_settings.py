"""The parameters that all file destinations share."""

from dataclasses import dataclass

from headrace.config import SettingInvalid, setting


@dataclass(frozen=True, kw_only=True)
class CsvOptions:
    """How a CSV file is written."""

    delimiter: str = setting("Between two fields.", default=",", one_of=(",", "\t", "|", ";", ":"))
    quote: str = setting("Around a field that needs it; an empty string turns quoting off.", default='"', one_of=('"', ""))
    escape: str = setting("Before a quote within a quoted field.", default="\\", one_of=("\\", "'"))
    null_value: str = setting("Written for a missing value.", default="null", one_of=("null", '""', ""))
    empty_value: str = setting("Written for an empty text.", default="", one_of=("null", '""', ""))


@dataclass(frozen=True, kw_only=True)
class FileSettings:
    """What is written, whatever the destination."""

    mode: str = setting("Kind of connection.", default="Server-to-server")
    compression: str = setting("Compression of the files.", one_of=("NONE", "GZIP"))
    file_type: str = setting("Format of audience files.", default="", one_of=("CSV", "JSON", "PARQUET"))
    dataset_file_type: str = setting("Format of dataset files.", default="", one_of=("JSON", "PARQUET"))
    csv_options: CsvOptions = setting("How CSV files are written.", default=CsvOptions())
    include_file_manifest: bool = setting("Write a manifest after the files of each run.", default=False)
    export_complex_types: bool = setting("Export arrays, maps and objects with their structure.", default=False)

    def __post_init__(self) -> None:
        """Refuse what no export could use."""
        if not self.file_type and not self.dataset_file_type:
            raise SettingInvalid("Parameter 'fileType' (audiences) or 'datasetFileType' (datasets) is missing.", path="fileType")
