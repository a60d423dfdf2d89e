"""What batch ingestion and data access refuse."""

from headrace.errors import Conflict, InvalidInput, NotFound


class BatchRequestInvalid(InvalidInput):
    """A member of a batch's create body is not acceptable."""

    code = "batch_request_invalid"
    wire_code = "ING-1000"
    wire_title = "Invalid batch"


class BatchNotOpen(Conflict):
    """The batch is in a state that does not allow what is asked."""

    code = "batch_not_open"
    wire_code = "ING-1002"
    wire_title = "Batch is in another state"


class FileNameInvalid(InvalidInput):
    """The name of an uploaded file cannot be one."""

    code = "batch_file_name_invalid"
    wire_code = "ING-1010"
    wire_title = "Invalid file name"


class FileUnknown(NotFound):
    """The batch has no such file."""

    code = "batch_file_unknown"
    wire_code = "ING-1011"
    wire_title = "File not found"


class TooManyFiles(InvalidInput):
    """The batch has as many files as it may have."""

    code = "batch_files_too_many"
    wire_code = "ING-1012"
    wire_title = "Too many files"


class MediaTypeUnsupported(InvalidInput):
    """An upload is not ``application/octet-stream``."""

    code = "batch_media_type_unsupported"
    wire_code = "ING-1013"
    wire_title = "Unsupported media type"
    wire_status = 415


class PartInvalid(InvalidInput):
    """A part of a large file is not what its ``Content-Range`` says, or parts are missing or overlap."""

    code = "batch_part_invalid"
    wire_code = "ING-1014"
    wire_title = "Invalid part of a file"


class ActionUnknown(InvalidInput):
    """The query names no action."""

    code = "batch_action_unknown"
    wire_code = "ING-1015"
    wire_title = "Unknown action"


class DataFileUnknown(NotFound):
    """Data Access has no such file or folder."""

    code = "data_file_unknown"
    wire_code = "DAS-1001"
    wire_title = "File not found"


class PathMissing(InvalidInput):
    """The call needs the query parameter ``path``."""

    code = "data_path_missing"
    wire_code = "DAS-1000"
    wire_title = "Path is missing"
