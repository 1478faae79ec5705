"""Whatever is wrong at the start: the right exit code, a sentence that names the thing and the reason, a way out."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from tests.servers import clients
from tests.servers.endpoints import new_account_key
from tests.servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.journey.conftest import Refuse
    from tests.journey.desk import Desk
    from tests.servers.strict import StrictCloud

MOVERS = ("sync", "download", "upload", "run", "xcheck")
NOTHING_SET = dict.fromkeys(
    (
        *("AZURE_STORAGE_CONNECTION_STRING", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3"),
        *("AWS_DEFAULT_REGION", "AWS_BUCKET", "MEDIA_FOLDER"),
    ),
    "",
)


@pytest.fixture(autouse=True)
def some_blobs(desk: Desk, strict: StrictCloud) -> None:
    """Three blobs that wait to be moved, and one worker to move them."""
    desk.env["SCS_WORKERS"] = "1"
    for number in range(3):
        strict.azure.put("films", f"reel-{number}", b"x" * number)


def apart(strict: StrictCloud, **given: str) -> dict[str, str]:
    """The account by separate settings, in place of the connection string."""
    at = strict.azure_at
    account = {"AZURE_STORAGE_ACCOUNT": at.account, "AZURE_STORAGE_SERVICE_ENDPOINT": at.url}
    return {"AZURE_STORAGE_CONNECTION_STRING": "", **account, **given}


# ------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("verb", MOVERS)
def test_scs_without_any_settings(verb: str, refused: Refuse, desk: Desk) -> None:
    """In an empty folder every verb that moves says which settings it needs, and that `scs init` writes them."""
    refused(verb, code=2, says=["There are no settings here yet", "not set", "scs init"], env=NOTHING_SET)
    assert not desk.file.exists()


def test_scs_init_without_any_settings(desk: Desk, refused: Refuse) -> None:
    """`scs init` needs nothing, makes what it can, and says what to fill in; the other verbs then name what lacks."""
    said = desk.scs("init", env=NOTHING_SET).out
    assert "Now fill in AZURE_STORAGE_ACCOUNT, MEDIA_FOLDER, AWS_BUCKET in .env, and run scs init again." in said
    names = "AZURE_STORAGE_ACCOUNT, MEDIA_FOLDER and AWS_BUCKET are not set."
    refused("run", code=2, says=[names, ".env"], env=NOTHING_SET)


@pytest.mark.parametrize(
    ("env", "says"),
    [
        pytest.param(
            {"AZURE_STORAGE_CONNECTION_STRING": "", "AZURE_STORAGE_KEY": new_account_key()},
            ["a key for Azure, but no account", "AZURE_STORAGE_ACCOUNT"],
            id="azure-key-without-account",
        ),
        pytest.param(
            {"AZURE_STORAGE_CONNECTION_STRING": "", "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=x"},
            ["a SAS token for Azure, but no account", "AZURE_STORAGE_ACCOUNT"],
            id="sas-without-account",
        ),
        pytest.param(
            {"AWS_SECRET_ACCESS_KEY": ""},
            ["AWS_ACCESS_KEY_ID in the environment has no AWS_SECRET_ACCESS_KEY beside it", "Set both"],
            id="aws-key-without-secret",
        ),
        pytest.param(
            {"AWS_ACCESS_KEY_ID": ""},
            ["AWS_SECRET_ACCESS_KEY in the environment has no AWS_ACCESS_KEY_ID beside it", "Set both"],
            id="aws-secret-without-key",
        ),
        pytest.param(
            {"AZURE_STORAGE_CONNECTION_STRING": "", "AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": "cut-off"},
            ["not base64", "Copy it again"],
            id="azure-key-cut-off",
        ),
    ],
)
def test_scs_run_with_half_a_credential(env: dict[str, str], says: list[str], refused: Refuse) -> None:
    """Half of a credential is named, with the half that lacks, before anything is begun."""
    refused("run", code=2, says=says, env=env)


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        pytest.param(
            '[[rename]]\npattern = "(unclosed"\nreplacement = ""\n',
            ['The rename rule "(unclosed"', "unterminated", "[[rename]]"],
            id="rename-rule-is-no-regex",
        ),
        pytest.param(
            '[target]\nkey = "{bucket}/{blob}"\n',
            ['The key template "{bucket}/{blob}" has {bucket}, which nothing fills.', "{container}"],
            id="key-template-with-unknown-field",
        ),
        pytest.param(
            '[target]\nkey = "films"\n',
            ['The key template "films" has {blob} 0 times', '"{container}/{blob}"'],
            id="key-template-without-blob",
        ),
        pytest.param("[target\n", ["scs.toml is not valid TOML", "line 1"], id="no-toml"),
        pytest.param("[transfer]\nspeed = 1\n", ["unknown entry: transfer.speed"], id="unknown-setting"),
    ],
)
def test_scs_sync_with_rules_that_are_none(toml: str, says: list[str], desk: Desk, refused: Refuse) -> None:
    """Rules that cannot work are quoted with what is wrong in them, before anything is listed."""
    desk.settings(toml)
    refused("sync", code=2, says=says)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AZURE_STORAGE_SERVICE_ENDPOINT"])
def test_scs_run_over_plain_http_to_another_machine(name: str, refused: Refuse, strict: StrictCloud) -> None:
    """Plain http is for this machine; elsewhere it has to be allowed in so many words."""
    address = "http://192.0.2.1:9000"
    env = apart(strict, AZURE_STORAGE_KEY=strict.azure.key) | {name: address}
    refused("run", code=2, says=[name, address, "plain http", "https://", "ALLOW_HTTP"], env=env)


# --------------------------------------------------------------------------------------------------------- access


def test_scs_sync_with_a_wrong_key(desk: Desk, refused: Refuse, strict: StrictCloud) -> None:
    """A key that does not fit stops the run with Azure's own word; nothing is marked failed."""
    desk.scs("init")
    says = ["The account at ", "AuthenticationFailed", "Check the account and its key"]
    refused("sync", code=3, says=says, env=apart(strict, AZURE_STORAGE_KEY=new_account_key()))


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_scs_upload_with_a_wrong_aws_key(name: str, desk: Desk, refused: Refuse) -> None:
    """S3 says no more than 403 to a wrong key or secret; the sentence names the bucket, the way out the credentials."""
    desk.scs("init")
    says = ["The bucket 'target' refuses these credentials", "Check the AWS credentials"]
    refused("upload", code=3, says=says, env={name: "AKIAWRONGWRONGWRONG1"})


def test_scs_upload_without_aws_credentials(desk: Desk, refused: Refuse) -> None:
    """Where AWS's own chain finds nothing, the sentence says where it looks."""
    desk.scs("init")
    says = ["There are no AWS credentials", "AWS_PROFILE", "role"]
    refused("upload", code=3, says=says, env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})


def test_scs_sync_of_an_account_that_refuses_connections(desk: Desk, refused: Refuse, strict: StrictCloud) -> None:
    """Where nobody listens, the address is named after a few tries, not after half an hour."""
    desk.scs("init")
    nobody = strict.azure_at.connection_string.replace(strict.azure_at.url, f"http://127.0.0.1:{free_port()}/scstest")
    says = ["The account at http://127.0.0.1:", "Could not connect", "Check the network"]
    refused("sync", code=3, says=says, env={"AZURE_STORAGE_CONNECTION_STRING": nobody})


def test_scs_sync_of_an_account_that_does_not_exist(desk: Desk, refused: Refuse) -> None:
    """An account that does not exist has no address in the DNS; the sentence names the address that was made of it."""
    desk.scs("init")
    env = {
        "AZURE_STORAGE_CONNECTION_STRING": "",
        "AZURE_STORAGE_ACCOUNT": "nobody",
        "AZURE_STORAGE_KEY": new_account_key(),
        "AZURE_STORAGE_SERVICE_ENDPOINT": "https://nobody.blob.invalid",
    }
    says = ["The account at https://nobody.blob.invalid", "Could not resolve host", "the endpoint's name"]
    refused("sync", code=3, says=says, env=env)


@pytest.mark.parametrize(
    ("permission", "hours", "says"),
    [
        pytest.param("r", 1.0, ["does not allow listing: its sp lacks l.", "sp=rl"], id="without-list"),
        pytest.param("l", 1.0, ["does not allow reading: its sp lacks r.", "sp=rl"], id="without-read"),
        pytest.param("rl", -1.0, ["The SAS token ended at 20", "AZURE_STORAGE_SAS_TOKEN"], id="expired"),
    ],
)
def test_scs_sync_with_a_sas_that_will_not_do(
    permission: str, hours: float, says: list[str], desk: Desk, refused: Refuse, strict: StrictCloud
) -> None:
    """What a SAS lacks can be read in it, and is said before the first request."""
    desk.scs("init")
    sas = clients.account_sas(strict.azure_at, permission, hours)
    asked = len(strict.log)
    refused("sync", code=3, says=says, env=apart(strict, AZURE_STORAGE_SAS_TOKEN=sas))
    assert len(strict.log) == asked


def test_scs_run_into_a_bucket_that_does_not_exist(desk: Desk, refused: Refuse) -> None:
    """A mistyped bucket is named before a byte moves; with the right name the same catalog goes on."""
    desk.scs("init", env={"AWS_BUCKET": "tarket"})
    refused("run", code=3, says=["There is no bucket 'tarket'", "AWS_BUCKET"], env={"AWS_BUCKET": "tarket"})
    desk.scs("run")


def test_scs_run_into_a_bucket_in_another_region(desk: Desk, refused: Refuse, strict: StrictCloud) -> None:
    """A bucket that is elsewhere is named with both regions, and the setting to write down."""
    strict.s3.make_bucket("far-away", "eu-west-1")
    desk.scs("init")
    says = ["The bucket 'far-away' is in region eu-west-1, not in us-east-1.", "Set AWS_DEFAULT_REGION=eu-west-1."]
    refused("run", code=3, says=says, env={"AWS_BUCKET": "far-away"})


def test_scs_run_with_the_catalog_of_another_migration(desk: Desk, refused: Refuse, strict: StrictCloud) -> None:
    """A catalog belongs to one bucket once that has answered; the next one needs a catalog of its own."""
    strict.s3.make_bucket("second")
    desk.scs("init")
    desk.scs("run")
    says = ["belongs to the bucket 'target at http://127", "the settings say 'second at http://127", "DB_FILE"]
    refused("run", code=3, says=says, env={"AWS_BUCKET": "second"})


def test_scs_container_that_does_not_exist(desk: Desk, refused: Refuse) -> None:
    """A mistyped container is no success with nothing to do, whatever the verb."""
    desk.scs("init")
    desk.scs("sync")
    says = ["There is no container 'film' in the catalog of account 'scstest'", "scs sync containers"]
    for verb in MOVERS:
        refused(verb, "--container", "film", "--quiet", code=2, says=says)


# -------------------------------------------------------------------------------------------------------- catalog


def _text(file: Path) -> None:
    file.write_text("this is no catalog\n" * 100)


def _damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[2 * 4096 : 2 * 4096 + 3000] = b"\xaa" * 3000
    file.write_bytes(content)


def _newer(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def _foreign(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE accounts (name TEXT)")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(_text, ["is damaged", "not a database", "scs rebuild"], id="not-sqlite"),
        pytest.param(_damage, ["is damaged: Page ", "scs rebuild"], id="damaged"),
        pytest.param(_newer, ["has schema 99", "this version knows", "Install the version"], id="newer"),
        pytest.param(_foreign, ["but no catalog", "DB_FILE"], id="somebody-elses"),
    ],
)
def test_scs_run_with_a_catalog_that_cannot_be_believed(
    spoil: Callable[[Path], None], says: list[str], desk: Desk, refused: Refuse
) -> None:
    """A file that is no good catalog is named with the reason and left as it is, byte for byte."""
    desk.scs("init")
    desk.scs("sync")
    spoil(desk.file)
    before = desk.file.read_bytes()
    for verb in ("run", "status", "init"):
        refused(verb, code=3, says=["storage.sqlite", *says])
    assert desk.file.read_bytes() == before


def test_scs_run_before_scs_init(desk: Desk, refused: Refuse) -> None:
    """Without a catalog the way out is `scs init`."""
    refused("run", code=3, says=["There is no catalog", "storage.sqlite'", "scs init"])
    assert not desk.file.exists()


# ------------------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("rnu", ["There is no verb 'rnu'", "Did you mean scs run?"]),
        ("run --whatch 5m", ["--whatch", "--watch"]),
        ("run --watch often", ['"often" is not a duration', "15m"]),
        ("run --workers many", ["--workers", "whole number", "many"]),
        ("sync blob", ["containers or blobs", "blob"]),
        ("run --account-key abc", ["secrets never come by flag", ".env"]),
        ("-sync -blob", ["verbs now", "scs sync"]),
        ("clean", ["nobody is there to answer", "--yes"]),
    ],
)
def test_scs_with_words_that_mean_nothing(line: str, says: list[str], desk: Desk, refused: Refuse) -> None:
    """A slip at the keyboard starts nothing, and the line that was probably meant is shown."""
    desk.scs("init")
    refused(*line.split(), code=2, says=says)


@pytest.mark.parametrize(
    ("line", "code", "error"),
    [
        ("run --json", 3, "CATALOG-MISSING"),
        ("status --json", 3, "CATALOG-MISSING"),
        ("run --json --workers many", 2, "SET-VALUE"),
        ("rnu --json", 2, "USAGE"),
    ],
)
def test_scs_json_of_an_error(line: str, code: int, error: str, refused: Refuse) -> None:
    """With --json an error is a document, too: the code of the process, the code of the error, sentence and hint."""
    document = refused(*line.split(), code=code, says=[]).document
    assert document["exit_code"] == code
    assert document["error"]["code"] == error
    assert document["error"]["sentence"]
