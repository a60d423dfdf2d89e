"""Amazon S3 and every store that speaks its protocol: files under a prefix of a bucket.

API: Amazon S3, multipart uploads (docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html).
Guarantee: all or nothing; objects of a run are completed only after the bytes of all of them were sent.
"""

import os
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from headrace.config import Secret, SettingInvalid, setting
from headrace.destinations.base import Context, FileDestination, FileUpload
from headrace.destinations.file_settings import FileSettings
from headrace.destinations.reading import FileReader
from headrace.destinations.transport.addresses import resolve
from headrace.destinations.transport.aws import AssumedRole
from headrace.destinations.transport.http import Endpoint
from headrace.destinations.transport.object_store import ObjectStoreReader, ObjectStoreUpload, check_writable

_ACCESS_KEY = re.compile(r"[A-Z2-7]{20}")
_SECRET_KEY = re.compile(r"[A-Za-z0-9/+]{40}")
_IP_FORM = re.compile(r"\d{1,3}(\.\d{1,3}){3}")


@dataclass(frozen=True, kw_only=True)
class S3AccessKey:
    """An access key of an IAM user, or of a compatible store."""

    spec_type: ClassVar[str] = "KeyBased"
    s3_access_key: str = setting("Id of the access key.")
    s3_secret_key: Secret = setting("The secret of the access key.")
    region: str = setting("Region of the bucket; the server's AWS_REGION or us-east-1 when empty.", default="")
    endpoint: str = setting("URL of a store that speaks the S3 protocol; Amazon's own when empty.", default="")

    def __post_init__(self) -> None:
        """Refuse keys that Amazon never issues; other stores have other keys."""
        if self.endpoint:
            Endpoint(self.endpoint, path="endpoint")
        elif not _environment_endpoint():
            if not _ACCESS_KEY.fullmatch(self.s3_access_key):
                raise SettingInvalid("Parameter 's3AccessKey' must be 20 characters of A-Z and 2-7.", path="s3AccessKey")
            if not _SECRET_KEY.fullmatch(self.s3_secret_key.reveal()):
                raise SettingInvalid("Parameter 's3SecretKey' must be 40 characters of base64.", path="s3SecretKey")


@dataclass(frozen=True, kw_only=True)
class S3AssumedRole:
    """A role that the server's own AWS identity may assume."""

    spec_type: ClassVar[str] = "S3RoleBased"
    s3_role: Secret = setting("ARN of the role.", pattern=r"arn:aws:iam::\d{12}:role/[A-Za-z0-9+=,.@_/-]{1,64}")
    region: str = setting("Region of the bucket; the server's AWS_REGION or us-east-1 when empty.", default="")


@dataclass(frozen=True, kw_only=True)
class S3Target(FileSettings):
    """Where in which bucket."""

    bucket_name: str = setting("The bucket.", pattern=r"[a-z0-9](?:[a-z0-9-]|\.(?=[a-z0-9])){1,61}[a-z0-9]", example="crm-out")
    path: str = setting(
        "Folder; may end with %SEGMENT_NAME% or %SEGMENT_ID%.",
        pattern=r"[0-9a-zA-Z/!\-_.*'()]*((%SEGMENT_(NAME|ID)%)?/?)+",
        example="crm/daily",
    )

    def __post_init__(self) -> None:
        """Refuse bucket names that look like an address."""
        FileSettings.__post_init__(self)
        if _IP_FORM.fullmatch(self.bucket_name):
            raise SettingInvalid("Parameter 'bucketName' may not look like an IP address.", path="bucketName")


class AmazonS3(FileDestination):
    """Writes files into a bucket."""

    name, title = "amazon_s3", "Amazon S3"
    connection_spec_id = "4fce964d-3f37-408f-9778-e597338a21ee"
    flow_spec_id = "1a0514a6-33d4-4c7f-aff8-594799c47549"
    dataset_flow_spec_id = "269ba276-16fc-47db-92b0-c1049a3c131f"
    auth_specs = {"Access Key": S3AccessKey, "Assumed Role": S3AssumedRole}
    target_settings = S3Target

    def __init__(self, *, auth: Any, target: S3Target, context: Context) -> None:
        """Keep the settings."""
        super().__init__(auth=auth, target=target, context=context)
        is_role = isinstance(auth, S3AssumedRole)
        self._role = AssumedRole(auth.s3_role.reveal(), _region_of(auth), context.clock) if is_role else None

    async def check(self) -> None:
        """List the folder with the same credentials."""
        await self._prepare()
        await check_writable(self._store(), _fixed_part(self.target.path), place=self._place)

    def folder(self) -> str:
        """See `FileDestination.folder`."""
        return str(self.target.path)

    def begin(self, folder: str, run_id: str) -> FileUpload:
        """See `FileDestination.begin`."""
        return _CheckedUpload(self, folder)

    def reader(self) -> FileReader:
        """See `FileDestination.reader`."""
        return ObjectStoreReader(self._store(), place=self._place, prepare=self._prepare)

    async def _prepare(self) -> None:
        """Fail now with the error of the endpoint or the role, which the store's client would only wrap."""
        if self._role is not None:
            await self._role()
        if isinstance(self.auth, S3AccessKey) and self.auth.endpoint:
            endpoint = Endpoint(self.auth.endpoint)
            await resolve(endpoint.host, endpoint.port, allow_private=self.context.allow_private_destinations)

    @property
    def _place(self) -> str:
        return f"bucket '{self.target.bucket_name}'"

    def _store(self) -> Any:
        from obstore.store import S3Store

        endpoint = getattr(self.auth, "endpoint", "") or _environment_endpoint()
        options: dict[str, Any] = {
            "region": _region_of(self.auth),
            "client_options": {"timeout": "120s", "connect_timeout": "10s", "allow_http": endpoint.startswith("http:")},
            "retry_config": {"max_retries": 2},
        }
        if endpoint:
            options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
        if self._role is not None:
            options["credential_provider"] = self._role
        else:
            options |= {"access_key_id": self.auth.s3_access_key, "secret_access_key": self.auth.s3_secret_key.reveal()}
        return S3Store(self.target.bucket_name, **options)


class _CheckedUpload(ObjectStoreUpload):
    """An upload that looks at the endpoint's address before it sends anything."""

    def __init__(self, destination: AmazonS3, folder: str) -> None:
        super().__init__(destination._store(), folder, place=destination._place)
        self._destination = destination

    async def __aenter__(self) -> "_CheckedUpload":
        await self._destination._prepare()
        return self


def _fixed_part(path: str) -> str:
    return path.partition("%")[0]


def _region_of(auth: Any) -> str:
    return str(auth.region or os.environ.get("AWS_REGION") or "us-east-1")


def _environment_endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
