"""What `settings/` promises: the nearest source counts, nonsense is refused with a way out, no secret is ever shown."""

from __future__ import annotations

import base64
import os
import pickle
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync_cloud_storage.errors import EnvironmentFault, UsageFault
from sync_cloud_storage.model import Attest, Blob
from sync_cloud_storage.settings import load, secrets_in, write_templates
from sync_cloud_storage.settings.table import TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sync_cloud_storage.settings import Settings

KEY = base64.b64encode(b"not anybody's key, but of the right length: sixty-four bytes....").decode()
OTHER_KEY = base64.b64encode(b"another one").decode()
SAS = "sv=2023-11-03&sp=rl&sig=c2VjcmV0%3D"
MIB = 1 << 20


def read(
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    dotenv: str = "",
    toml: str = "",
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """Load settings from a folder with these files in it."""
    for name, content in ((".env", dotenv), ("scs.toml", toml)):
        if content:
            (folder / name).write_text(content)
            (folder / name).chmod(0o600)
    return load(flags or {}, environ or {}, folder)


def refusal(folder: Path, environ: Mapping[str, str] | None = None, **files: str) -> UsageFault:
    """The fault that these settings end in."""
    with pytest.raises(UsageFault) as caught:
        read(folder, environ, **files)  # type: ignore[arg-type]
    return caught.value


# ----------------------------------------------------------------------------------------------------- which one counts


def test_flags_before_environment_before_dotenv_before_toml_before_defaults(tmp_path: Path) -> None:
    """Flags, environment, `.env`, `scs.toml`, defaults: taking the nearest away lets the next one count."""
    flags: dict[str, object] = {"--db-file": "flag.sqlite"}
    environ = {"DB_FILE": "environment.sqlite"}
    dotenv, toml = "DB_FILE=dotenv.sqlite\n", '[catalog]\nfile = "toml.sqlite"\n'
    found = []
    for number, sources in enumerate(((flags, environ), ({}, environ), ({}, {}))):
        folder = tmp_path / str(number)
        folder.mkdir()
        found.append(read(folder, sources[1], flags=sources[0], dotenv=dotenv, toml=toml).db_file.name)
    for name in ("only-toml", "nothing"):
        (tmp_path / name).mkdir()
    found.append(read(tmp_path / "only-toml", toml=toml).db_file.name)
    found.append(read(tmp_path / "nothing").db_file.name)
    assert found == ["flag.sqlite", "environment.sqlite", "dotenv.sqlite", "toml.sqlite", "storage.sqlite"]


def test_the_names_of_2019_all_work(tmp_path: Path) -> None:
    """Every name of the original program is read."""
    settings = read(
        tmp_path,
        {
            "AZURE_STORAGE_ACCOUNT": "mystore",
            "AZURE_STORAGE_ACCESS_KEY": KEY,
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_BUCKET": "my-bucket",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "DB_FILE": "/var/lib/scs.sqlite",
            "MEDIA_FOLDER": "/mnt/nas",
        },
    )
    assert (settings.azure.account, settings.azure.key) == ("mystore", KEY)
    assert settings.azure.endpoint == "https://mystore.blob.core.windows.net"
    assert (settings.target.bucket, settings.target.region) == ("my-bucket", "eu-central-1")
    assert (settings.db_file, settings.media_folder) == (Path("/var/lib/scs.sqlite"), Path("/mnt/nas"))


def test_an_empty_value_is_not_set(tmp_path: Path) -> None:
    """`AWS_BUCKET=` in a form that is not filled in yet leaves the word to the next source."""
    settings = read(tmp_path, {"AWS_BUCKET": ""}, dotenv="AWS_BUCKET=\n", toml='[target]\nbucket = "from-toml"\n')
    assert settings.target.bucket == "from-toml"


def test_paths_begin_in_the_working_folder_and_know_home(tmp_path: Path) -> None:
    """A relative path begins where `.env` is; `~` is the home folder."""
    settings = read(tmp_path, {"MEDIA_FOLDER": "~/nas"})
    assert settings.db_file == tmp_path / "storage.sqlite"
    assert settings.media_folder == Path.home() / "nas"


def test_everything_of_the_contract_is_read_from_toml(tmp_path: Path) -> None:
    """The example of the contract, and all other sections, end where they belong."""
    settings = read(
        tmp_path,
        toml=r"""
[source]
account = "mystore"
[containers]
skip = ["test", "dummy-*"]
live = ["images", "reports"]
[blobs]
skip_extensions = [".xml", ".ism", ".ismc"]
strict_names = true
[[rename]]
container = "asset-*"
pattern = "_H264_1800kbps_AAC_und_ch2_128kbps\\.mp4$"
replacement = "-sd.mp4"
[target]
key = "{container}/{blob}"
storage_class = "STANDARD_IA"
acl = "bucket-owner-full-control"
encryption = "aws:kms"
kms_key = "alias/media"
path_style = false
tags = { project = "migration" }
[transfer]
workers = 3
concurrency = 64
bandwidth = "08:00,50M 19:00,off"
range_size = "32M"
multipart_from = 104857600
part_size = "100M"
attest = "missing"
offline = "2h"
[security]
allow_http = true
""",
    )
    assert settings.skip_containers == ("test", "dummy-*")
    assert settings.placement.skip_extensions == (".xml", ".ism", ".ismc")
    assert settings.placement.strict_names is True
    place = settings.placement.place("asset-1", Blob("a_H264_1800kbps_AAC_und_ch2_128kbps.mp4", 1, "e", ""))
    assert place.s3_key == "asset-1/a-sd.mp4"
    target = settings.target
    assert (target.storage_class, target.acl, target.encryption) == (
        "STANDARD_IA",
        "bucket-owner-full-control",
        "aws:kms",
    )
    assert (target.kms_key, target.path_style, target.tags) == ("alias/media", False, (("project", "migration"),))
    transfer = settings.transfer
    assert (transfer.workers, transfer.concurrency, transfer.offline_s) == (3, 64, 7200)
    assert (transfer.range_bytes, transfer.multipart_from_bytes, transfer.part_bytes) == (
        32 * MIB,
        100 * MIB,
        100 * MIB,
    )
    assert str(transfer.bandwidth) == "08:00,50M 19:00,off"
    assert transfer.attest is Attest.WITHOUT_MD5
    assert settings.allow_http is True


def test_defaults(tmp_path: Path) -> None:
    """Nothing is skipped, nothing is limited, the key is container/blob, and workers and concurrency are automatic."""
    settings = read(tmp_path)
    assert (settings.skip_containers, settings.live_containers, settings.placement.skip_extensions) == ((), (), ())
    assert settings.target.key_template == settings.placement.key_template == "{container}/{blob}"
    assert (settings.transfer.workers, settings.transfer.concurrency, settings.transfer.part_bytes) == (0, 0, 0)
    assert (settings.transfer.range_bytes, settings.transfer.multipart_from_bytes) == (16 * MIB, 64 * MIB)
    assert (settings.transfer.offline_s, str(settings.transfer.bandwidth)) == (1800, "off")
    assert settings.transfer.attest is Attest.NONE
    assert (settings.allow_http, settings.overwrite, settings.warnings) == (False, False, ())


@pytest.mark.parametrize(
    ("word", "attest"),
    [
        ('"off"', Attest.NONE),
        ('"missing"', Attest.WITHOUT_MD5),
        ('"all"', Attest.ALL),
        ("true", Attest.ALL),
        ("false", Attest.NONE),
    ],
)
def test_what_is_attested(tmp_path: Path, word: str, attest: Attest) -> None:
    """One of three words in `scs.toml`, or yes and no; the flag means all, whatever stands there."""
    toml = f"[transfer]\nattest = {word}\n"
    assert read(tmp_path, toml=toml).transfer.attest is attest
    assert read(tmp_path, toml=toml, flags={"--attest": True}).transfer.attest is Attest.ALL


def test_each_name_stands_once_in_the_table() -> None:
    """No name is given to two settings, but for the proxy that stands in for both kinds."""
    names = [name for setting in TABLE for name in (*setting.env, setting.toml, setting.flag) if name]
    twice = {name for name in names if names.count(name) > 1}
    assert twice == {"all_proxy", "ALL_PROXY"}


def test_containers_are_matched_by_name_and_pattern(tmp_path: Path) -> None:
    """Skip and live rules are names or shell patterns, and the reason says which rule it was."""
    settings = read(tmp_path, toml='[containers]\nskip = ["test", "dummy-*"]\nlive = ["images"]\n')
    assert settings.skip_reason("dummy-7") == "containers.skip has dummy-*"
    assert settings.skip_reason("tests") == ""
    assert [settings.is_live(name) for name in ("images", "images2")] == [True, False]


# ---------------------------------------------------------------------------------------------------------------- Azure


@pytest.mark.parametrize(
    ("environ", "account", "endpoint", "key", "sas"),
    [
        ({"AZURE_STORAGE_ACCOUNT": "a"}, "a", "https://a.blob.core.windows.net", "", ""),
        ({"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": KEY}, "a", "https://a.blob.core.windows.net", KEY, ""),
        (
            {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SAS_TOKEN": f"?{SAS}"},
            "a",
            "https://a.blob.core.windows.net",
            "",
            SAS,
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={KEY}"},
            "a",
            "https://a.blob.core.windows.net",
            KEY,
            "",
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": f"accountname=a; accountkey={KEY};EndpointSuffix=core.example.cn;"},
            "a",
            "https://a.blob.core.example.cn",
            KEY,
            "",
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": f"BlobEndpoint=https://a.blob.example/;SharedAccessSignature={SAS}"},
            "a",
            "https://a.blob.example",
            "",
            SAS,
        ),
        (
            {
                "AZURE_STORAGE_CONNECTION_STRING": f"AccountName=a;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:10000/a;"
            },
            "a",
            "http://127.0.0.1:10000/a",
            KEY,
            "",
        ),
        (
            {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SERVICE_ENDPOINT": "https://a.privatelink.example/"},
            "a",
            "https://a.privatelink.example",
            "",
            "",
        ),
    ],
)
def test_access_to_azure(
    tmp_path: Path, environ: dict[str, str], account: str, endpoint: str, key: str, sas: str
) -> None:
    """Key, SAS, connection string and nothing at all (Entra ID) end in account, endpoint and one credential."""
    azure = read(tmp_path, environ).azure
    assert (azure.account, azure.endpoint, azure.key, azure.sas) == (account, endpoint, key, sas)


def test_the_emulator_has_a_short_form(tmp_path: Path) -> None:
    """`UseDevelopmentStorage=true` is Azurite on this machine, with its well-known account."""
    azure = read(tmp_path, {"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"}).azure
    assert (azure.account, azure.endpoint) == ("devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1")
    assert len(base64.b64decode(azure.key)) == 64


def test_a_credential_comes_whole_from_the_nearest_source(tmp_path: Path) -> None:
    """A SAS in the environment is not mixed with an old key in `.env`."""
    settings = read(
        tmp_path,
        {"AZURE_STORAGE_SAS_TOKEN": SAS},
        dotenv=f"AZURE_STORAGE_ACCOUNT=a\nAZURE_STORAGE_KEY={KEY}\nAZURE_STORAGE_CONNECTION_STRING=nonsense\n",
    )
    assert (settings.azure.account, settings.azure.key, settings.azure.sas) == ("a", "", SAS)
    assert settings.warnings == ()


def test_with_key_and_sas_the_sas_is_used_and_that_is_said(tmp_path: Path) -> None:
    """Of a key and a SAS side by side the one that may do less is used, with a warning."""
    settings = read(tmp_path, {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_SAS_TOKEN": SAS})
    assert (settings.azure.key, settings.azure.sas) == ("", SAS)
    assert "the SAS token is used" in settings.warnings[0]


# ------------------------------------------------------------------------------------------------------------------ AWS


def test_dotenv_reaches_the_sdks(tmp_path: Path) -> None:
    """What `.env` has for AWS's and Azure's own chains, proxies and certificates goes into the environment, once."""
    (tmp_path / "ca.pem").write_text("x")
    settings = read(
        tmp_path,
        {"AWS_SESSION_TOKEN": "", "AZURE_TENANT_ID": "mine"},
        dotenv=f"""
AWS_ACCESS_KEY_ID=id
AWS_SECRET_ACCESS_KEY='se cret'
AWS_CONFIG_FILE=/etc/aws
AZURE_CLIENT_ID=client
AZURE_TENANT_ID=theirs
AZURE_STORAGE_ACCOUNT=a
AZURE_STORAGE_KEY={KEY}
HTTPS_PROXY=http://proxy:3128
NO_PROXY=localhost
SSL_CERT_FILE=ca.pem
PATH=/evil
""",
    )
    environ = {"AZURE_TENANT_ID": "mine", "AWS_CONFIG_FILE": ""}
    settings.apply_environment(environ)
    assert environ == {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "se cret",
        "AWS_CONFIG_FILE": "/etc/aws",
        "AZURE_CLIENT_ID": "client",
        "AZURE_TENANT_ID": "mine",
        "HTTPS_PROXY": "http://proxy:3128",
        "NO_PROXY": "localhost",
        "SSL_CERT_FILE": "ca.pem",
    }
    assert settings.network.https_proxy == "http://proxy:3128"
    assert settings.network.azure_ca_file == settings.network.s3_ca_file == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    "environ",
    [{"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "mine"}, {"AWS_PROFILE": "mine"}],
)
def test_dotenv_does_not_mix_into_aws_access_of_the_environment(tmp_path: Path, environ: dict[str, str]) -> None:
    """Keys or a profile in the real environment keep all of AWS's access in `.env` out."""
    dotenv = "AWS_ACCESS_KEY_ID=x\nAWS_SECRET_ACCESS_KEY=x\nAWS_SESSION_TOKEN=x\nAWS_PROFILE=x\n"
    assert read(tmp_path, environ, dotenv=dotenv).environment == {}


@pytest.mark.parametrize(
    ("environ", "dotenv", "profile"),
    [
        ({"AWS_PROFILE": "p"}, "", "p"),
        ({"AWS_PROFILE": "p"}, "AWS_ACCESS_KEY_ID=x\nAWS_SECRET_ACCESS_KEY=x\n", "p"),
        ({"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}, "AWS_PROFILE=p\n", ""),
        ({"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_PROFILE": "p"}, "", ""),
    ],
)
def test_a_profile_counts_unless_keys_are_as_near(
    tmp_path: Path, environ: dict[str, str], dotenv: str, profile: str
) -> None:
    """Keys go before a profile in the same place, as in AWS's own tools; a nearer profile goes before keys."""
    assert read(tmp_path, environ, dotenv=dotenv).target.profile == profile


def test_the_endpoint_for_s3_goes_before_the_general_one(tmp_path: Path) -> None:
    """`AWS_ENDPOINT_URL_S3` counts before `AWS_ENDPOINT_URL`; the slash at the end is no part of it."""
    environ = {"AWS_ENDPOINT_URL": "https://all.example", "AWS_ENDPOINT_URL_S3": "https://s3.example/"}
    assert read(tmp_path, environ).target.endpoint_url == "https://s3.example"


def test_certificates_for_s3_alone(tmp_path: Path) -> None:
    """`AWS_CA_BUNDLE` is for S3, `SSL_CERT_FILE` for both where nothing else is said."""
    for name in ("all.pem", "s3.pem"):
        (tmp_path / name).write_text("x")
    network = read(tmp_path, {"SSL_CERT_FILE": "all.pem", "AWS_CA_BUNDLE": "s3.pem"}).network
    assert (network.azure_ca_file, network.s3_ca_file) == (tmp_path / "all.pem", tmp_path / "s3.pem")


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_proxy_by_all_its_names(tmp_path: Path, name: str) -> None:
    """A proxy is found under each name that other programs know."""
    assert read(tmp_path, {name: "http://proxy:3128"}).network.https_proxy == "http://proxy:3128"


# ------------------------------------------------------------------------------------------------------------ bad input


def test_no_settings_at_all(tmp_path: Path) -> None:
    """With nothing set, one sentence names all that is missing, and `scs init` is the way out."""
    with pytest.raises(UsageFault) as caught:
        read(tmp_path).require("azure", "nas", "target", "catalog")
    fault = caught.value
    assert (fault.code, fault.exit_code) == ("SET-MISSING", 2)
    assert "AZURE_STORAGE_ACCOUNT, MEDIA_FOLDER and AWS_BUCKET are not set" in fault.sentence
    assert "no settings here yet" in fault.sentence
    assert "scs init" in fault.hint


def test_what_a_verb_does_not_need_may_be_missing(tmp_path: Path) -> None:
    """Only what is asked for is required."""
    settings = read(tmp_path, {"AZURE_STORAGE_ACCOUNT": "a", "MEDIA_FOLDER": "/mnt"})
    settings.require("azure", "nas", "catalog")
    assert settings.missing("azure", "nas", "target") == ("AWS_BUCKET",)
    with pytest.raises(UsageFault, match=r"^AWS_BUCKET is not set\."):
        settings.require("target")


@pytest.mark.parametrize(
    ("environ", "code", "words"),
    [
        ({"AZURE_STORAGE_KEY": KEY}, "SET-HALF", "no account"),
        ({"AZURE_STORAGE_SAS_TOKEN": SAS}, "SET-HALF", "no account"),
        ({"AWS_ACCESS_KEY_ID": "x"}, "SET-HALF", "AWS_ACCESS_KEY_ID in the environment has no AWS_SECRET_ACCESS_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": "x"}, "SET-HALF", "has no AWS_ACCESS_KEY_ID"),
        ({"AWS_SESSION_TOKEN": "x"}, "SET-HALF", "no keys beside it"),
        ({"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": "not base64!"}, "SET-VALUE", "not base64"),
        ({"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SAS_TOKEN": "sv=1&sp=rl"}, "SET-VALUE", "not a SAS token"),
        (
            {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SAS_TOKEN": f"https://a.blob/?{SAS}"},
            "SET-VALUE",
            "not a SAS token",
        ),
        ({"AZURE_STORAGE_ACCOUNT": "https://a.blob.core.windows.net"}, "SET-VALUE", "the account's name alone"),
        ({"AZURE_STORAGE_CONNECTION_STRING": "a secret without form"}, "SET-VALUE", "not a row of Name=value;"),
        ({"AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=ftp://x"}, "SET-VALUE", "must begin with https://"),
        (
            {"AZURE_STORAGE_ACCOUNT": "b", "AZURE_STORAGE_CONNECTION_STRING": f"AccountName=a;AccountKey={KEY}"},
            "SET-TWICE",
            "AZURE_STORAGE_ACCOUNT says b",
        ),
        (
            {"AZURE_STORAGE_KEY": OTHER_KEY, "AZURE_STORAGE_CONNECTION_STRING": f"AccountName=a;AccountKey={KEY}"},
            "SET-TWICE",
            "another key",
        ),
        ({"AWS_BUCKET": "s3://bucket/folder"}, "SET-VALUE", "a bucket's name"),
        ({"AWS_DEFAULT_REGION": "Frankfurt!"}, "SET-VALUE", "a region's name"),
        ({"AWS_ENDPOINT_URL_S3": "minio:9000"}, "SET-VALUE", "must begin with https://"),
        ({"AWS_ENDPOINT_URL_S3": "https://user:pw@minio"}, "SET-VALUE", "no user name"),
        ({"AWS_ENDPOINT_URL_S3": "https://minio:port"}, "SET-VALUE", "must be an address"),
        ({"AWS_ENDPOINT_URL_S3": "http://minio:9000"}, "SET-HTTP", "plain http"),
        ({"AZURE_STORAGE_SERVICE_ENDPOINT": "http://10.0.0.7/a"}, "SET-HTTP", "plain http"),
        ({"ALLOW_HTTP": "perhaps"}, "SET-VALUE", "ALLOW_HTTP in the environment must be true or false"),
        ({"SCS_WORKERS": "four"}, "SET-VALUE", "SCS_WORKERS in the environment must be a whole number, not 'four'"),
        ({"SCS_WORKERS": "-1"}, "SET-VALUE", "must be from 0 to 256"),
        ({"SCS_BANDWIDTH": "fast"}, "SET-VALUE", "SCS_BANDWIDTH in the environment"),
        ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, "SET-CA", "there is no such file"),
        ({"MEDIA_FOLDER": "a\0b"}, "SET-VALUE", "NUL"),
    ],
)
def test_bad_environment(tmp_path: Path, environ: dict[str, str], code: str, words: str) -> None:
    """Half, contradicting and malformed settings end in exit 2 with a sentence and a hint."""
    fault = refusal(tmp_path, environ)
    assert (fault.code, fault.exit_code) == (code, 2)
    assert words in fault.sentence
    assert fault.hint


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "localhost", "[::1]:9000", "s3.localhost", "127.1.2.3"])
def test_plain_http_stays_on_this_machine(tmp_path: Path, host: str) -> None:
    """Plain http to loopback needs nobody's leave."""
    assert read(tmp_path, {"AWS_ENDPOINT_URL_S3": f"http://{host}"}).target.endpoint_url == f"http://{host}"


@pytest.mark.parametrize("how", ["environment", "toml"])
def test_plain_http_where_a_person_allows_it(tmp_path: Path, how: str) -> None:
    """ALLOW_HTTP, or `allow_http` in `scs.toml`, opens plain http to other machines."""
    environ = {"AWS_ENDPOINT_URL_S3": "http://gateway:9000"} | ({"ALLOW_HTTP": "1"} if how == "environment" else {})
    toml = "[security]\nallow_http = true\n" if how == "toml" else ""
    assert read(tmp_path, environ, toml=toml).target.endpoint_url == "http://gateway:9000"


@pytest.mark.parametrize(
    ("toml", "code", "words", "hint"),
    [
        ("[target]\nbukket = 'x'\n", "SET-UNKNOWN", "target.bukket", "Did you mean target.bucket?"),
        ("[tarket]\nbucket = 'x'\n", "SET-UNKNOWN", "tarket", "Did you mean [target]?"),
        ("[target]\nworkers = 3\n", "SET-UNKNOWN", "target.workers", "Did you mean transfer.workers?"),
        ("qqqqqq = 3\n", "SET-UNKNOWN", "qqqqqq", "Known here:"),
        ("containers = ['a']\n", "SET-TOML", "must be a section", "Its entries follow it."),
        ("[source]\naccess_key = 'x'\n", "SET-SECRET", "looks like a secret", "AZURE_STORAGE_ACCESS_KEY"),
        ("aws_secret_access_key = 'x'\n", "SET-SECRET", "looks like a secret", "AWS_SECRET_ACCESS_KEY"),
        ("[target]\nbucket = x\n", "SET-TOML", "line 2", "quotes"),
        ("[target]\nbucket = 5\n", "SET-VALUE", "target.bucket in scs.toml must be text", "It is for"),
        ("[containers]\nskip = 'test'\n", "SET-VALUE", "must be a list of texts", "It is for"),
        ("[containers]\nlive = [1]\n", "SET-VALUE", "must be a list of texts", "It is for"),
        ("[transfer]\nworkers = true\n", "SET-VALUE", "must be a whole number", "It is for"),
        ("[transfer]\nworkers = 1.5\n", "SET-VALUE", "must be a whole number", "It is for"),
        ("[transfer]\nrange_size = '16X'\n", "SET-VALUE", "transfer.range_size in scs.toml: ", "64M"),
        ("[transfer]\nrange_size = 1\n", "SET-VALUE", "must be from 1.0 MiB to 1.0 GiB", "It is for"),
        ("[transfer]\nrange_size = [1]\n", "SET-VALUE", "must be a size", "It is for"),
        ("[transfer]\nbandwidth = '25:00,50M'\n", "SET-VALUE", "transfer.bandwidth", "08:00,50M"),
        ("[transfer]\noffline = '5'\n", "SET-VALUE", "transfer.offline", "15m"),
        ("[security]\nallow_http = 'perhaps'\n", "SET-VALUE", "must be true or false", "It is for"),
        ("[target]\nacl = 'public'\n", "SET-VALUE", "must be one of private,", "It is for"),
        ("[transfer]\nattest = 'some'\n", "SET-VALUE", "must be one of off, missing, all, not 'some'", "It is for"),
        ("[target]\nencryption = 'AES'\n", "SET-VALUE", "must be one of AES256, aws:kms", "It is for"),
        ("[target]\nkms_key = 'x'\n", "SET-HALF", "no use without aws:kms", "encryption"),
        ("[target]\nstorage_class = 'STANDARD-IA'\n", "SET-VALUE", "a storage class in capitals", "It is for"),
        ("[target]\ntags = { a = 1 }\n", "SET-VALUE", "must be a table of texts", "It is for"),
        ("[target]\ntags = { '' = 'x' }\n", "SET-VALUE", "a tag that S3 refuses", "It is for"),
        (
            "[target.tags]\n" + "".join(f"t{number} = 'x'\n" for number in range(11)),
            "SET-VALUE",
            "has 11 tags",
            "It is for",
        ),
        ("[target]\nkey = '{container}/{name}'\n", "KEY-TEMPLATE", "{name}", "{blob}"),
        ("[target]\nkey = '{container}'\n", "KEY-TEMPLATE", "{blob} 0 times", "{container}/{blob}"),
        ("[[rename]]\npattern = '('\nreplacement = ''\n", "RENAME-RULE", '"("', "[[rename]]"),
        ("[[rename]]\npattern = 'a'\nreplacement = '\\2'\n", "RENAME-RULE", "group", "[[rename]]"),
        ("[[rename]]\npattern = 'a'\n", "SET-VALUE", "(entry 1) has no replacement", "It is for"),
        ("[[rename]]\npatern = 'a'\n", "SET-VALUE", "(entry 1) has an unknown key 'patern'", "It is for"),
        ("[[rename]]\npattern = 1\nreplacement = ''\n", "SET-VALUE", "pattern must be text in quotes", "It is for"),
        ("[rename]\npattern = 'a'\n", "SET-VALUE", "double brackets", "It is for"),
    ],
)
def test_bad_toml(tmp_path: Path, toml: str, code: str, words: str, hint: str) -> None:
    """What is wrong in `scs.toml` ends in exit 2 with a sentence that names the entry, and a hint that helps."""
    fault = refusal(tmp_path, toml=toml)
    assert (fault.code, fault.exit_code) == (code, 2)
    assert words in fault.sentence
    assert hint in fault.hint


def test_a_bad_line_of_dotenv_is_named_and_not_quoted(tmp_path: Path) -> None:
    """The number of a bad line in `.env` is told, its content never: it may be a secret."""
    fault = refusal(tmp_path, dotenv="AWS_BUCKET=x\nthis is s3cr3t\n")
    assert fault.sentence.startswith("Line 2 of ")
    assert "s3cr3t" not in str(fault)
    assert "Line 1 " in refusal(tmp_path, dotenv="AWS_BUCKET\n").sentence


@pytest.mark.parametrize("name", [".env", "scs.toml"])
def test_a_file_that_is_no_text(tmp_path: Path, name: str) -> None:
    """A file that is not UTF-8 is named with its line."""
    (tmp_path / name).write_bytes(b"# first\n\xff\xfe = 1\n")
    assert refusal(tmp_path).sentence == f"Line 2 of {tmp_path / name} is not UTF-8."


@pytest.mark.parametrize("name", [".env", "scs.toml"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """A file that is there and cannot be read is a fault, not an empty file."""
    (tmp_path / name).symlink_to(name)  # a loop: the system refuses to follow it, also for root
    fault = refusal(tmp_path)
    assert "cannot be read" in fault.sentence
    assert name in fault.sentence


def test_a_mark_at_the_start_of_a_file_does_no_harm(tmp_path: Path) -> None:
    """The mark that editors on Windows put before UTF-8 is no part of the first name."""
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfAWS_BUCKET=my-bucket\r\n")
    (tmp_path / "scs.toml").write_bytes(b"\xef\xbb\xbf[transfer]\r\nworkers = 2\r\n")
    settings = read(tmp_path)
    assert (settings.target.bucket, settings.transfer.workers) == ("my-bucket", 2)


def test_a_python_environment_named_dotenv_is_no_file(tmp_path: Path) -> None:
    """A folder `.env` is somebody's Python environment."""
    (tmp_path / ".env").mkdir()
    assert read(tmp_path).files == ()


def test_a_dollar_has_no_meaning(tmp_path: Path) -> None:
    """Values in `.env` stay as they are written: a secret with `$` in it is no variable."""
    settings = read(tmp_path, dotenv='AWS_ACCESS_KEY_ID=i\nAWS_SECRET_ACCESS_KEY="a${HOME}b$c"\n')
    assert settings.environment["AWS_SECRET_ACCESS_KEY"] == "a${HOME}b$c"


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o644, True)])
def test_secrets_that_others_may_read(tmp_path: Path, mode: int, warned: bool) -> None:  # noqa: FBT001
    """A `.env` with secrets that others may read is warned about; it still works."""
    (tmp_path / ".env").write_text(f"AZURE_STORAGE_ACCOUNT=a\nAZURE_STORAGE_KEY={KEY}\n")
    (tmp_path / ".env").chmod(mode)
    warnings = load({}, {}, tmp_path).warnings
    assert bool(warnings) == warned
    assert all("chmod 600" in warning for warning in warnings)


def test_a_form_without_secrets_is_not_warned_about(tmp_path: Path) -> None:
    """A `.env` that holds no secret may be read by everybody."""
    (tmp_path / ".env").write_text("AZURE_STORAGE_ACCOUNT=a\nAZURE_STORAGE_KEY=\n")
    (tmp_path / ".env").chmod(0o644)
    assert load({}, {}, tmp_path).warnings == ()


# -------------------------------------------------------------------------------------------------------------- secrets


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """The text form of the settings has no secret in it; `secrets` has all of them."""
    settings = read(
        tmp_path,
        {"HTTPS_PROXY": "http://user:pr0xy@proxy"},
        dotenv=f"AZURE_STORAGE_ACCOUNT=a\nAZURE_STORAGE_KEY={KEY}\nAWS_ACCESS_KEY_ID=i\nAWS_SECRET_ACCESS_KEY=s3cr3t\n"
        "AWS_DEFAULT_REGION=eu-central-1\n",
    )
    for secret in (KEY, "s3cr3t", "pr0xy"):
        assert secret not in repr(settings)
    assert set(settings.secrets()) == {KEY, "s3cr3t"}


def test_secrets_of_an_environment() -> None:
    """Secrets are known by their names; a region or an account is none."""
    environ = {
        "AWS_SECRET_ACCESS_KEY": "one",
        "AZURE_CLIENT_SECRET": "two",
        "AWS_REGION": "eu",
        "AZURE_STORAGE_KEY": "",
    }
    assert set(secrets_in(environ)) == {"one", "two"}


def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    """Somebody who puts a connection string where the name belongs does not get the key printed."""
    fault = refusal(tmp_path, {"AZURE_STORAGE_ACCOUNT": f"AccountKey={KEY}"})
    assert KEY[:20] not in str(fault)


def test_settings_can_be_sent_to_another_process(tmp_path: Path) -> None:
    """Settings survive pickling."""
    settings = read(tmp_path, {"AZURE_STORAGE_ACCOUNT": "a"}, toml="[transfer]\nbandwidth = '50M'\n")
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301


# ------------------------------------------------------------------------------------------------------------ templates


def test_the_files_of_init_change_nothing(tmp_path: Path) -> None:
    """The two files that `scs init` writes mean exactly the defaults."""
    bare = tmp_path / "bare"
    written = tmp_path / "written"
    bare.mkdir()
    written.mkdir()
    assert write_templates(written) == [written / ".env", written / "scs.toml"]
    before, after = load({}, {}, bare), load({}, {}, written)
    assert (after.placement, after.transfer, after.target, after.azure) == (
        before.placement,
        before.transfer,
        before.target,
        before.azure,
    )
    assert after.db_file == written / "storage.sqlite"
    assert after.warnings == ()


def test_dotenv_is_for_its_owner_alone(tmp_path: Path) -> None:
    """`.env` is written with mode 0600 whatever the umask says."""
    before = os.umask(0)
    try:
        write_templates(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_files_that_are_there_are_kept(tmp_path: Path) -> None:
    """Init never overwrites."""
    (tmp_path / ".env").write_text("AWS_BUCKET=mine\n")
    assert write_templates(tmp_path) == [tmp_path / "scs.toml"]
    assert (tmp_path / ".env").read_text() == "AWS_BUCKET=mine\n"
    assert write_templates(tmp_path) == []


def test_every_setting_is_explained_in_one_of_the_files(tmp_path: Path) -> None:
    """Whatever can stand in a file is explained in the file where it is expected."""
    write_templates(tmp_path)
    dotenv, toml = (tmp_path / ".env").read_text(), (tmp_path / "scs.toml").read_text()
    for setting in TABLE:
        if setting.in_dotenv:
            assert f"\n{setting.env[0]}=" in dotenv
        elif setting.toml:
            assert f"# {setting.toml.partition('.')[2] or '[[rename]]'}" in toml


def test_every_example_of_the_toml_file_works(tmp_path: Path) -> None:
    """Taking the `# ` from each example gives a file that is accepted as it stands."""
    write_templates(tmp_path)
    lines = []
    for line in (tmp_path / "scs.toml").read_text().splitlines():
        bare = line.removeprefix("# ")
        is_example = bare != line and (bare.startswith("[[") or bare.partition(" = ")[0].isidentifier())
        lines.append(bare if is_example else line)
    (tmp_path / "scs.toml").write_text("\n".join(lines).replace("/etc/ssl/", f"{tmp_path}/"))
    for name in ("company.pem", "gateway.pem"):
        (tmp_path / name).write_text("x")
    settings = load({}, {}, tmp_path)
    assert settings.skip_containers == ("test", "dummy-*")
    assert settings.placement.renames[0].container == "asset-*"
    in_toml = {setting.toml for setting in TABLE if setting.toml and not setting.in_dotenv}
    document = tomllib.loads((tmp_path / "scs.toml").read_text())
    named = {
        f"{section}.{key}" for section, entries in document.items() if isinstance(entries, dict) for key in entries
    }
    assert named | {"rename"} == in_toml


def test_a_folder_where_nobody_may_write(tmp_path: Path) -> None:
    """Init says why it cannot write."""
    with pytest.raises(EnvironmentFault, match="cannot be written") as caught:
        write_templates(tmp_path / "missing")
    assert (caught.value.code, caught.value.exit_code) == ("INIT-WRITE", 3)


def test_a_catalog_that_is_a_folder(tmp_path: Path) -> None:
    """DB_FILE that names a folder is said to be one, and not taken for a broken disk."""
    fault = refusal(tmp_path, {"DB_FILE": str(tmp_path)})
    assert fault.exit_code == 2
    assert f"{tmp_path} is a folder" in fault.sentence
