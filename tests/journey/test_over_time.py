"""Things that go wrong between two commands: what was true at the first is no longer true at the second.

Each test names a mistake that a reader found, and that was repaired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.journey.desk import until
from tests.servers.strict import Answer, Fault, Stall, StrictCloud

if TYPE_CHECKING:
    from tests.journey.desk import Desk, Done

ENDS_WITHIN_S = 40.0


@pytest.fixture(autouse=True)
def _initialised(desk: Desk) -> None:
    desk.settings('[containers]\nlive = ["live*"]\n')
    desk.scs("init")


def ends(desk: Desk, *words: str) -> Done:
    """How a command ends that could go on for ever."""
    with desk.start(*words) as going:
        return going.end(ENDS_WITHIN_S)


def test_scs_run_when_a_blob_is_gone_and_its_file_is_lost(desk: Desk, strict: StrictCloud) -> None:
    """It ends, as a failure: there is nothing left to fetch."""
    strict.azure.put("c", "a", b"one")
    strict.azure.put("c", "b", b"two")
    desk.scs("sync")
    desk.scs("download")
    strict.azure.remove("c", "a")
    desk.scs("sync", "--all")
    (desk.nas / "c/a").unlink()
    assert ends(desk, "run").code == 1
    assert desk.states() == {"c/a": "failed", "c/b": "uploaded"}


def test_scs_run_retry_failed_of_a_gone_blob(desk: Desk, strict: StrictCloud) -> None:
    """A mismatch that cannot be mended stays one; the run ends."""
    strict.azure.put("c", "a", b"one")
    desk.scs("run")
    strict.azure.remove("c", "a")
    (desk.nas / "c/a").unlink()
    desk.scs("xcheck", code=5)
    assert ends(desk, "run", "--retry-failed").code == 1


def test_scs_sync_all_when_a_vanished_blob_cannot_be_asked_about(desk: Desk, strict: StrictCloud) -> None:
    """Each suspect is asked about once in a run."""
    strict.azure.put("c", "a", b"one")
    strict.azure.put("c", "b", b"two")
    desk.scs("sync")
    strict.azure.remove("c", "a")
    refusal = Answer(409, "BlobUsesCustomerSpecifiedEncryption", {"x-ms-request-id": "1"})
    strict.faults.append(Fault(refusal, operation="HeadBlob", times=0))
    assert ends(desk, "sync", "--all").code == 1
    assert len(strict.asked("HeadBlob")) == 1


def test_scs_upload_of_a_file_that_was_lost(desk: Desk, strict: StrictCloud) -> None:
    """What was to be uploaded and was not is no success."""
    strict.azure.put("c", "a", b"one")
    desk.scs("sync")
    desk.scs("download")
    (desk.nas / "c/a").unlink()
    desk.scs("upload", code=1)
    assert desk.states() == {"c/a": "pending"}


def test_scs_status_after_xcheck_found_an_object_missing(desk: Desk, strict: StrictCloud) -> None:
    """A mismatch is told by every verb until it is mended."""
    strict.azure.put("c", "a", b"one")
    desk.scs("run")
    del strict.s3.buckets["target"].objects["c/a"]
    desk.scs("xcheck", code=5)
    assert (ends(desk, "status").code, ends(desk, "run").code) == (1, 1)
    assert ends(desk, "run", "--retry-failed").code == 0
    assert strict.s3.buckets["target"].objects["c/a"].data == b"one"


def test_scs_init_while_the_nas_is_not_mounted(desk: Desk, strict: StrictCloud) -> None:
    """An empty mount point does not become the NAS of a catalog that has one."""
    strict.azure.put("c", "a", b"one")
    desk.scs("sync")
    desk.scs("download")
    desk.nas.rename(desk.folder / "nas.real")
    desk.nas.mkdir()
    desk.scs("download", code=3)
    desk.scs("init", code=3)
    desk.scs("run", code=3)
    assert not any(desk.nas.iterdir())


def test_scs_run_against_another_endpoint_with_a_bucket_of_that_name(desk: Desk, strict: StrictCloud) -> None:
    """What went to one endpoint is not called done for another."""
    strict.azure.put("c", "a", b"one")
    desk.scs("run")
    with StrictCloud() as other:
        other.s3.make_bucket("target")
        desk.env.update(other.s3_at.env)
        desk.secrets.add(other.s3_at.secret_access_key)
        assert ends(desk, "run").code == 3


def _store_unheard(desk: Desk, strict: StrictCloud, how: str) -> None:
    """Store the object, and end the run before it hears of it."""
    desk.scs("sync")
    desk.scs("download")
    strict.faults.append(Fault(Stall(-1, 30.0), operation="PutObject"))
    with desk.start("upload") as going:
        until(lambda: "c/a" in strict.s3.buckets["target"].objects)
        if how == "SIGINT":
            going.interrupt()
            assert going.end().code == 130
    strict.faults.clear()


def test_scs_run_when_the_content_type_changed_after_a_kill(desk: Desk, strict: StrictCloud) -> None:
    """The right bytes under an outdated description are sent once more."""
    strict.azure.put("c", "a", b"one", headers={"Content-Type": "text/wrong"}, metadata={"v": "1"})
    _store_unheard(desk, strict, "SIGKILL")
    strict.azure.put("c", "a", b"one", headers={"Content-Type": "text/right"}, metadata={"v": "2"})
    desk.scs("sync", "--all")
    assert ends(desk, "run").code == 0
    there = strict.s3.buckets["target"].objects["c/a"]
    assert (there.headers["content-type"], there.metadata) == ("text/right", {"v": "2"})


@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_scs_run_when_the_blob_changed_after_an_upload_that_nobody_heard_of(
    how: str, desk: Desk, strict: StrictCloud
) -> None:
    """What we are not known to have written is not written over without a word (ADR 9); --overwrite is the way out."""
    strict.azure.put("c", "a", b"one")
    _store_unheard(desk, strict, how)
    strict.azure.put("c", "a", b"two")
    desk.scs("sync", "--all")
    done = ends(desk, "run")
    assert done.code == 1
    assert "S3-EXISTS" in done.said
    assert "--overwrite" in done.said
    assert strict.s3.buckets["target"].objects["c/a"].data == b"one"
    assert ends(desk, "run", "--retry-failed", "--overwrite").code == 0
    assert strict.s3.buckets["target"].objects["c/a"].data == b"two"


def test_scs_run_retry_failed_of_one_container(desk: Desk, strict: StrictCloud) -> None:
    """The failures of others stay failures."""
    strict.azure.put("x", "a", b"one")
    strict.azure.put("y", "bad", b"two", md5="wrong")
    desk.scs("run", code=1)
    assert ends(desk, "run", "--retry-failed", "--container", "x").code == 1
    assert desk.states()["y/bad"] == "failed"


def test_scs_xcheck_of_one_container(desk: Desk, strict: StrictCloud) -> None:
    """It speaks of that container, and leaves the others as they are."""
    strict.azure.put("x", "a", b"one")
    strict.azure.put("y", "b", b"two")
    desk.scs("run")
    assert ends(desk, "xcheck", "--container", "x").code == 0
    assert desk.select("SELECT name, status FROM containers ORDER BY name") == [("x", 200), ("y", 200)]


def test_scs_upload_into_a_bucket_that_takes_nothing(desk: Desk, strict: StrictCloud) -> None:
    """Refused everywhere is a fault of the access: exit 3, and nothing is marked failed."""
    for number in range(50):
        strict.azure.put("c", f"{number}", b"one")
    desk.scs("sync")
    desk.scs("download")
    strict.faults.append(Fault(Answer(403, "AccessDenied"), operation="PutObject", times=0))
    assert ends(desk, "upload").code == 3
    assert desk.select("SELECT count(*) FROM sync WHERE s3_status = 2") == [(0,)]


def test_scs_run_after_a_skip_rule_was_taken_away(desk: Desk, strict: StrictCloud) -> None:
    """What is no longer skipped moves, without a word about listing."""
    strict.azure.put("c", "a.xml", b"one")
    desk.settings('[blobs]\nskip_extensions = [".xml"]\n')
    desk.scs("run")
    assert desk.states() == {"c/a.xml": "skipped"}
    desk.settings("")
    assert ends(desk, "run").code == 0
    assert desk.states() == {"c/a.xml": "uploaded"}


def test_scs_download_while_another_catalog_works_on_the_nas(desk: Desk, strict: StrictCloud) -> None:
    """One NAS takes one run: two would take each other's temporary files."""
    strict.azure.put("c", "a", b"one")
    desk.scs("sync")
    strict.faults.append(Fault(Stall(-1, 30.0), operation="GetBlob"))
    with desk.start("download"):
        until(lambda: bool(strict.asked("GetBlob")))
        desk.env["DB_FILE"] = "other.sqlite"
        desk.scs("init")
        done = desk.scs("download", code=4)
    assert "Another run works on the NAS" in done.err


def test_scs_xcheck_says_which_blobs_are_new_or_changed(desk: Desk, strict: StrictCloud) -> None:
    """What changed is a mismatch, what is new is only not proven yet, and each blob is named."""
    strict.azure.put("live", "same", b"one")
    strict.azure.put("live", "other", b"two")
    desk.scs("run")
    strict.azure.put("live", "fresh", b"four")
    said = desk.scs("xcheck", code=1).out
    assert "live/fresh" in said
    assert "1 not proven yet" in said
    strict.azure.put("live", "other", b"three")
    strict.azure.put("live", "fresher", b"five")
    said = desk.scs("xcheck", code=5).out
    assert "live/other" in said
    assert "AZ-CHANGED" in said
    assert "live/fresher" in said
    assert "AZ-NEW" in said
    assert "live/same" not in said
    desk.scs("run", "--quiet")
    desk.scs("xcheck")
