"""What the catalog refuses. Codes of sandboxes are the platform's `SMS-…`, of datasets and batches our `CTLG-…`."""

from headrace.errors import Conflict, InvalidInput, NotFound


class SandboxUnknown(NotFound):
    """The organisation has no such sandbox."""

    code = "sandbox_unknown"
    wire_code = "SMS-1001"
    wire_title = "Sandbox not found"

    def __init__(self, name: str) -> None:
        super().__init__(f"Sandbox '{name}' does not exist.", hint="GET …/sandbox-management/sandboxes lists them.")


class SandboxNameTaken(Conflict):
    """Another sandbox has this name."""

    code = "sandbox_name_taken"
    wire_code = "SMS-1002"
    wire_title = "Sandbox name is taken"


class SandboxInvalid(InvalidInput):
    """A property of a sandbox is not acceptable."""

    code = "sandbox_invalid"
    wire_code = "SMS-1000"
    wire_title = "Invalid sandbox"


class SandboxIsDefault(InvalidInput):
    """The default sandbox can be reset, never deleted."""

    code = "sandbox_is_default"
    wire_code = "SMS-2078"
    wire_title = "The default sandbox cannot be deleted"


class SandboxNotActive(InvalidInput):
    """The sandbox is deleted or not ready."""

    code = "sandbox_not_active"
    wire_code = "SMS-2079"
    wire_title = "Sandbox is not active"


class DatasetUnknown(NotFound):
    """The sandbox has no such dataset."""

    code = "dataset_unknown"
    wire_code = "CTLG-1001"
    wire_title = "Dataset not found"

    def __init__(self, dataset_id: str) -> None:
        super().__init__(f"dataSet {dataset_id} was not found", path="dataSetId")


class DatasetInvalid(InvalidInput):
    """A property of a dataset is not acceptable."""

    code = "dataset_invalid"
    wire_code = "CTLG-1010"
    wire_title = "Invalid dataset"


class DatasetSchemaUnknown(DatasetInvalid):
    """The dataset's schema is not in the registry."""

    code = "dataset_schema_unknown"
    wire_code = "CTLG-1011"
    wire_title = "Schema not found"


class DatasetSchemaNotEnabled(DatasetInvalid):
    """A dataset for Profile needs a schema that is enabled for Profile."""

    code = "dataset_schema_not_enabled"
    wire_code = "CTLG-1012"
    wire_title = "Schema is not enabled for Profile"


class DatasetSchemaFixed(DatasetInvalid):
    """The schema of a dataset that holds data cannot change."""

    code = "dataset_schema_fixed"
    wire_code = "CTLG-1013"
    wire_title = "Schema cannot change"


class DatasetInUse(InvalidInput):
    """A running batch or an enabled flow uses the dataset."""

    code = "dataset_in_use"
    wire_code = "CTLG-1014"
    wire_title = "Dataset is in use"


class VersionMismatch(Conflict):
    """The object changed since the caller read it (``If-Match``)."""

    code = "version_mismatch"
    wire_code = "CTLG-1004"
    wire_title = "Precondition failed"
    wire_status = 412


class BatchUnknown(NotFound):
    """The sandbox has no such batch."""

    code = "batch_unknown"
    wire_code = "CTLG-1021"
    wire_title = "Batch not found"

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"batch {batch_id} was not found", path="batchId")


class BatchInvalid(InvalidInput):
    """A property of a batch is not acceptable."""

    code = "batch_invalid"
    wire_code = "CTLG-1020"
    wire_title = "Invalid batch"


class BatchExists(Conflict):
    """A batch with this id exists already."""

    code = "batch_exists"
    wire_code = "CTLG-1022"
    wire_title = "Batch exists"


class CatalogQueryInvalid(InvalidInput):
    """A parameter of a Catalog list is not acceptable."""

    code = "catalog_query_invalid"
    wire_code = "CTLG-1030"
    wire_title = "Invalid query"


class UnsupportedObject(NotFound):
    """The catalog has no objects of this kind."""

    code = "catalog_object_unsupported"
    wire_code = "CTLG-1031"
    wire_title = "Not available"


class RequestsInvalid(InvalidInput):
    """A list of requests, or one of them, is not acceptable."""

    code = "catalog_requests_invalid"
    wire_code = "CTLG-1040"
    wire_title = "Invalid requests"


class LabelsMissing(NotFound):
    """The dataset has no data usage labels."""

    code = "dataset_labels_missing"

    def __init__(self, dataset_id: str) -> None:
        super().__init__("GET Entities Not Found", hint="Label the dataset by POST.")
        self.details = {"path": f"/entities/AEP:dataset:{dataset_id}"}


class LabelsExist(Conflict):
    """The dataset has data usage labels already."""

    code = "dataset_labels_exist"
    wire_status = 403


class LabelsInvalid(InvalidInput):
    """A data usage label, or the field that it is for, is not acceptable."""

    code = "dataset_labels_invalid"


class LabelsVersionMissing(InvalidInput):
    """Labels are changed only by who says which version was read (``If-Match``)."""

    code = "dataset_labels_version_missing"
    wire_status = 428


class LabelsOutdated(Conflict):
    """The labels changed since the caller read them."""

    code = "dataset_labels_outdated"
    wire_status = 412
