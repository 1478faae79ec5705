"""Every setting once: its names, its type, its default, and why. Adding a setting means adding it here.

Reading (`sources.py`), the two files of `scs init` (`templates.py`) and the faults all speak from this table. `reason`
is what the files say to a person: what the setting does, its unit, and why the default is what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sync_cloud_storage import units
from sync_cloud_storage.model import Attest
from sync_cloud_storage.settings import readers

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One setting.

    Args:
        read: From what was written to the value; see `readers.py`.
        default: The value where nobody says anything.
        reason: For people, in full sentences; stands above the setting in the files of `scs init`.
        env: Names in the environment and in `.env`; within one of them the first that is set counts.
        toml: `section.key` in `scs.toml`; a bare `name` is a section in double brackets.
        flag: The option's name on the command line, `--db-file`.
        example: How it may look in its file, as it is written there.
        in_dotenv: Explained in the `.env` of `scs init` (else in `scs.toml`, where it has a name there).
        secret: Never in `scs.toml`, by flag, or in a message.
    """

    read: Callable[[object], T]
    default: T
    reason: str
    env: tuple[str, ...] = ()
    toml: str = ""
    flag: str = ""
    example: str = ""
    in_dotenv: bool = False
    secret: bool = False

    @property
    def name(self) -> str:
        """The name by which a person knows it."""
        return self.env[0] if self.env else self.toml or self.flag


# ---------------------------------------------------------------------------------------------------- Azure, the source

AZURE_ACCOUNT = Setting(
    readers.like(r"[A-Za-z0-9-]{1,63}", "the account's name alone, such as mystore (no address)"),
    "",
    "The storage account to empty. With nothing but this, access goes by Microsoft Entra ID (az login).",
    env=("AZURE_STORAGE_ACCOUNT",),
    toml="source.account",
    in_dotenv=True,
)
AZURE_KEY = Setting(
    readers.text,
    "",
    "The account's key, one of two in the portal. AZURE_STORAGE_KEY is another name for it.",
    env=("AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY"),
    in_dotenv=True,
    secret=True,
)
AZURE_SAS = Setting(
    readers.text,
    "",
    "Instead of the key: a SAS token that may read and list (sp=rl; for the whole account srt=sco).",
    env=("AZURE_STORAGE_SAS_TOKEN",),
    in_dotenv=True,
    secret=True,
)
AZURE_CONNECTION = Setting(
    readers.text,
    "",
    "Instead of account and key: a connection string, in quotes. Its BlobEndpoint counts, so an emulator works.",
    env=("AZURE_STORAGE_CONNECTION_STRING",),
    in_dotenv=True,
    secret=True,
)
AZURE_ENDPOINT = Setting(
    readers.endpoint,
    "",
    "The blob service's address, where it is not https://<account>.blob.core.windows.net: other clouds, private links.",
    env=("AZURE_STORAGE_SERVICE_ENDPOINT",),  # the name that Azure's own command line has for it
    toml="source.endpoint",
    example='"https://mystore.blob.core.usgovcloudapi.net"',
)

# ------------------------------------------------------------------------------------------------------- S3, the target

AWS_KEY_ID = Setting(
    readers.text,
    "",
    "AWS's own chain finds access: these two, or AWS_PROFILE, or the machine's role.",
    env=("AWS_ACCESS_KEY_ID",),
    in_dotenv=True,
    secret=True,
)
AWS_SECRET = Setting(
    readers.text,
    "",
    "Belongs to AWS_ACCESS_KEY_ID.",
    env=("AWS_SECRET_ACCESS_KEY",),
    in_dotenv=True,
    secret=True,
)
AWS_SESSION = Setting(
    readers.text,
    "",
    "Only with temporary keys; it belongs to the two above.",
    env=("AWS_SESSION_TOKEN",),
    in_dotenv=True,
    secret=True,
)
AWS_PROFILE = Setting(
    readers.text,
    "",
    "Instead of the keys: a profile of ~/.aws/config.",
    env=("AWS_PROFILE",),
    toml="target.profile",
    in_dotenv=True,
)
BUCKET = Setting(
    readers.like(r"[A-Za-z0-9._-]{3,255}|arn:.+", "a bucket's name, such as my-bucket (no address)"),
    "",
    "The bucket that everything goes to. It must exist.",
    env=("AWS_BUCKET",),
    toml="target.bucket",
    in_dotenv=True,
)
REGION = Setting(
    readers.like(r"[a-z0-9-]{2,32}", "a region's name, such as eu-central-1"),
    "",
    "The bucket's region, such as eu-central-1. AWS_REGION is another name for it.",
    env=("AWS_DEFAULT_REGION", "AWS_REGION"),
    toml="target.region",
    in_dotenv=True,
)
S3_ENDPOINT = Setting(
    readers.endpoint,
    "",
    "The S3 service's address, where it is not AWS's own: another provider, a gateway, a test server.",
    env=("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    toml="target.endpoint_url",
    example='"https://s3.example.net"',
)
PATH_STYLE = Setting(
    readers.maybe,
    None,
    "true: the bucket stands in the path (host/bucket/key); false: in the host name (bucket.host/key). "
    "Not set: the path for an endpoint_url of your own, the host name for AWS.",
    toml="target.path_style",
    example="true",
)
KEY_TEMPLATE = Setting(
    readers.text,
    "{container}/{blob}",
    "Where a blob goes, in S3 and below MEDIA_FOLDER alike. There are {container}, {blob} and {account}. "
    '"{blob}" alone, as in 2019, is possible; two blobs that would meet are refused.',
    toml="target.key",
)
STORAGE_CLASS = Setting(
    readers.like(r"[A-Z0-9_]{1,40}", "a storage class in capitals, such as STANDARD_IA"),
    "",
    "Storage class of the objects. Not set: what the bucket says, which is STANDARD.",
    toml="target.storage_class",
    example='"STANDARD_IA"',
)
ACL = Setting(
    readers.one_of(
        "private",
        "public-read",
        "public-read-write",
        "authenticated-read",
        "aws-exec-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
    ),
    "",
    "A canned ACL for the objects. Not set: none is sent; buckets made since 2023 refuse ACLs.",
    toml="target.acl",
    example='"bucket-owner-full-control"',
)
ENCRYPTION = Setting(
    readers.one_of("AES256", "aws:kms"),
    "",
    '"AES256" (SSE-S3) or "aws:kms" (SSE-KMS). Not set: what the bucket says; S3 encrypts in any case.',
    toml="target.encryption",
    example='"aws:kms"',
)
KMS_KEY = Setting(
    readers.text,
    "",
    'Id or ARN of the KMS key, with encryption = "aws:kms". Not set: the account\'s own key for S3.',
    toml="target.kms_key",
    example='"arn:aws:kms:eu-central-1:111122223333:key/..."',
)
TAGS: Setting[tuple[tuple[str, str], ...]] = Setting(
    readers.tags,
    (),
    "Tags for every object, at most 10. S3 bills tags.",
    toml="target.tags",
    example='{ project = "migration" }',
)

# ------------------------------------------------------------------------------------------------------ NAS and catalog

MEDIA_FOLDER = Setting(
    readers.path,
    None,
    "The folder on the NAS that everything goes to, as this machine sees it. It must exist.",
    env=("MEDIA_FOLDER",),
    toml="nas.folder",
    flag="--media-folder",
    in_dotenv=True,
)
DB_FILE: Setting[Path | None] = Setting(
    readers.path,
    Path("storage.sqlite"),
    "The catalog, a SQLite file. On a disk of this machine, not on the NAS: SQLite's locks need one.",
    env=("DB_FILE",),
    toml="catalog.file",
    flag="--db-file",
    in_dotenv=True,
)

# -------------------------------------------------------------------------------------------------- what moves, and how

SKIP_CONTAINERS: Setting[tuple[str, ...]] = Setting(
    readers.words,
    (),
    "Containers that stay where they are: names, or patterns with * ? [ab].",
    toml="containers.skip",
    example='["test", "dummy-*"]',
)
LIVE_CONTAINERS: Setting[tuple[str, ...]] = Setting(
    readers.words,
    (),
    "Containers that still change: listed again by every run, and after scs reset-live. Names or patterns.",
    toml="containers.live",
    example='["images", "reports"]',
)
SKIP_EXTENSIONS: Setting[tuple[str, ...]] = Setting(
    readers.words,
    (),
    "Blobs that stay where they are, by the end of their name. In 2019 these were skipped; by default nothing is.",
    toml="blobs.skip_extensions",
    example='[".xml", ".ism", ".ismc"]',
)
STRICT_NAMES = Setting(
    readers.switch,
    default=False,
    reason="A few names cannot be keys in S3 (over 1,024 bytes, a segment . or .., a NUL). true: such a blob fails, "
    "with that reason. false: its key is percent-encoded.",
    toml="blobs.strict_names",
)
RENAMES: Setting[tuple[dict[str, str], ...]] = Setting(
    readers.tables("pattern", "replacement", optional=("container",)),
    (),
    "Rename rules, in this order, for the names of blobs: a regular expression, and what takes the place of every "
    "match (\\1 is the first group); container limits a rule to names or patterns of containers.",
    toml="rename",
    example='container = "asset-*"\npattern = \'_H264_1800kbps_AAC_und_ch2_128kbps\\.mp4$\'\nreplacement = "-sd.mp4"',
)
OVERWRITE = Setting(
    readers.switch,
    default=False,
    reason="Replace files and objects that are in the way and that scs did not write. By flag only: there is no undo.",
    flag="--overwrite",
)

# ---------------------------------------------------------------------------------------------------------------- speed

WORKERS = Setting(
    readers.whole(0, 256),
    0,
    "Worker processes. 0: as many as help, which is the number of processors, up to 8.",
    env=("SCS_WORKERS",),
    toml="transfer.workers",
    flag="--workers",
    example="4",
)
CONCURRENCY = Setting(
    readers.whole(0, 4096),
    0,
    "Requests out at once, all workers together. 0: tuned while running, by what the services bear.",
    env=("SCS_CONCURRENCY",),
    toml="transfer.concurrency",
    flag="--concurrency",
    example="64",
)
BANDWIDTH = Setting(
    lambda raw: units.parse_timetable(readers.text(raw)),
    units.parse_timetable("off"),
    "Bytes per second by time of day (local), up and down together. off: as fast as it goes.",
    env=("SCS_BANDWIDTH",),
    toml="transfer.bandwidth",
    example='"08:00,50M 19:00,off"',
)
RANGE_SIZE = Setting(
    readers.size(MIB, GIB),
    16 * MIB,
    "A blob larger than two of these comes in ranges of this size, several at once. Smaller ranges cost requests, "
    "larger ones cost more again after a break; 16 MiB is two seconds at 64 Mbit/s.",
    toml="transfer.range_size",
    example='"16M"',
)
MULTIPART_FROM = Setting(
    readers.size(5 * MIB, 5 * GIB),
    64 * MIB,
    "A file from this size on goes up in parts. S3 takes up to 5 GiB in one request, but one request has no resume.",
    toml="transfer.multipart_from",
    example='"64M"',
)
PART_SIZE = Setting(
    readers.size(0, 5 * GIB),
    0,
    "Size of these parts, from 5 MiB on. 0: 16 MiB, larger where a file would need more than 10,000 parts.",
    toml="transfer.part_size",
    example='"64M"',
)
ATTEST = Setting(
    readers.attest,
    Attest.NONE,
    'Of which blobs Azure is asked for its own CRC64, to compare it with ours: "off", "missing" (those without '
    'Content-MD5) or "all". It gives one for at most 4 MiB, so such a blob takes a request for each 4 MiB.',
    toml="transfer.attest",
    flag="--attest",
    example='"missing"',
)
OFFLINE = Setting(
    readers.duration,
    30 * 60.0,
    "How long the network may be away before a run gives up. A reboot of a router or NAS takes less than 30 minutes.",
    toml="transfer.offline",
    example='"30m"',
)

# -------------------------------------------------------------------------------------------------------------- network

ALLOW_HTTP = Setting(
    readers.switch,
    default=False,
    reason="Allow http:// to other machines: keys are signed, but names and bytes can be read and changed on the way. "
    "For devices and gateways in your own network; this machine itself (loopback) is always allowed.",
    env=("ALLOW_HTTP",),
    toml="security.allow_http",
    example="true",
)
CA_FILE = Setting(
    readers.path,
    None,
    "Certificates (PEM) of the authorities to trust, for all services. Not set: the system's.",
    env=("SSL_CERT_FILE",),
    toml="security.ca_file",
    example='"/etc/ssl/company.pem"',
)
S3_CA_FILE = Setting(
    readers.path,
    None,
    "The same for S3 alone.",
    env=("AWS_CA_BUNDLE",),
    toml="security.s3_ca_file",
    example='"/etc/ssl/gateway.pem"',
)
# As curl does it: the small letters go first, ALL_PROXY stands in for both.
HTTPS_PROXY = Setting(
    readers.text,
    "",
    "The proxy for https, as for other programs; likewise HTTP_PROXY, and NO_PROXY for hosts that need none.",
    env=("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
)
HTTP_PROXY = Setting(
    readers.text,
    "",
    "The proxy for http.",
    env=("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
)
NO_PROXY = Setting(
    readers.text,
    "",
    "Hosts that are reached without the proxy.",
    env=("no_proxy", "NO_PROXY"),
)

# All of the above, in the order in which they stand here: a second list would have to be kept in step.
TABLE: tuple[Setting[Any], ...] = tuple(value for value in list(globals().values()) if isinstance(value, Setting))
