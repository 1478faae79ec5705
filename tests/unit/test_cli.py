"""What `cli/` promises: each verb calls one method with what was asked, and whatever goes wrong ends in a sentence."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sync_cloud_storage import signing
from sync_cloud_storage.catalog import Catalog
from sync_cloud_storage.cli import Parts, main
from sync_cloud_storage.cli.verb import EXIT_CODES
from sync_cloud_storage.cli.verbs import APP
from sync_cloud_storage.errors import CatalogBusy, EnvironmentFault, Mismatch
from sync_cloud_storage.ledger import open_ledger, signing_key_of
from sync_cloud_storage.model import Attest, Totals
from sync_cloud_storage.progress import Counts, InitReport, Outcome, Progress, Rates, StatusReport
from sync_cloud_storage.settings.table import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sync_cloud_storage.cli.stop import Stop
    from sync_cloud_storage.ledger import Ledger
    from sync_cloud_storage.settings import Settings

VERBS = [
    "init", "sync", "reset-live", "download", "upload", "run", "xcheck", "status", "report", "verify-certificate",
    "rebuild", "clean",
]  # fmt: skip
READING = ["report", "verify-certificate"]  # and may take minutes
RUNS = ["sync", "download", "upload", "run", "xcheck", "rebuild"]
TOTALS = Totals(*[0] * len(Totals._fields))


class Recorder:
    """A migration that moves nothing: notes what it is asked, and does what a test wants of it."""

    def __init__(self, act: Callable[[Recorder], None] | None = None) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.settings: Settings
        self.listener: Callable[[Progress], None]
        self.stop: Stop
        self._act = act

    def __call__(self, settings: Settings, listener: Callable[[Progress], None], stop: Stop) -> Recorder:
        """Take the place of the class."""
        self.settings, self.listener, self.stop = settings, listener, stop
        return self

    def init(self) -> InitReport:
        """Do nothing."""
        self._note("init")
        return InitReport("storage.sqlite", True, "", (".env",), (), ())  # noqa: FBT003

    def sync(self, what: str, *, everything: bool, containers: tuple[str, ...]) -> Outcome:
        """Do nothing."""
        return self._note("sync", what, everything, containers)

    def reset_live(self) -> int:
        """Do nothing."""
        self._note("reset_live")
        return 2

    def download(self, *, retry_failed: bool, containers: tuple[str, ...]) -> Outcome:
        """Do nothing."""
        return self._note("download", retry_failed, containers)

    def upload(self, *, retry_failed: bool, containers: tuple[str, ...]) -> Outcome:
        """Do nothing."""
        return self._note("upload", retry_failed, containers)

    def run(self, *, retry_failed: bool, watch_s: float | None, containers: tuple[str, ...]) -> Outcome:
        """Do nothing."""
        return self._note("run", retry_failed, watch_s, containers)

    def xcheck(
        self, *, deep: bool, containers: tuple[str, ...], nas: bool, inventory: Path | None, checksums: tuple[Path, ...]
    ) -> Outcome:
        """Do nothing."""
        return self._note("xcheck", deep, containers, nas, inventory, checksums)

    def batch_manifest(self, file: Path) -> int:
        """Do nothing."""
        self._note("batch_manifest", file)
        return 2

    def scrub(self, *, part: int, parts: int, containers: tuple[str, ...]) -> Outcome:
        """Do nothing."""
        return self._note("scrub", part, parts, containers)

    def rebuild(self) -> Outcome:
        """Do nothing."""
        return self._note("rebuild")

    def status(self) -> StatusReport:
        """Do nothing."""
        self._note("status")
        return StatusReport("storage.sqlite", TOTALS, (), None, ())

    @contextmanager
    def report(self) -> Iterator[Ledger]:
        """Read an empty catalog."""
        self._note("report")
        path = Path("a catalog.sqlite")
        Catalog.create(path, lambda: datetime.now(UTC)).close()
        signing.make(signing_key_of(path))
        with open_ledger(path, lambda: datetime.now(UTC), self.stop) as ledger:
            yield ledger

    def clean(self) -> Path:
        """Do nothing."""
        self._note("clean")
        return Path("storage.sqlite.backup")

    def _note(self, *call: Any) -> Outcome:
        self.calls.append(call)
        if self._act:
            self._act(self)
        return Outcome(call[0], TOTALS, stopped_by=self.stop.signal_name)


class Said(NamedTuple):
    """What one command line came to."""

    code: int
    out: str
    err: str


class Typist(io.StringIO):
    """Somebody at a keyboard."""

    def isatty(self) -> bool:
        """Say that a person is there."""
        return True


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a working folder of its own."""
    monkeypatch.chdir(tmp_path)


def scs(line: str, migration: Recorder | None = None, *, stdin: io.StringIO | None = None, **environ: str) -> Said:
    """Run one command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    parts = Parts(migration or Recorder(), environ, time.monotonic, stdin, out, err)
    return Said(main(shlex.split(line.removeprefix("scs ")), parts), out.getvalue(), err.getvalue())


# ------------------------------------------------------------------------------------------------- what a verb asks for


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("init", ("init",)),
        ("sync", ("sync", "both", False, ())),
        ("sync containers", ("sync", "containers", False, ())),
        ("sync blobs --container a --container b", ("sync", "blobs", False, ("a", "b"))),
        ("sync --all", ("sync", "both", True, ())),
        ("reset-live", ("reset_live",)),
        ("download", ("download", False, ())),
        ("download --retry-failed --container a", ("download", True, ("a",))),
        ("upload --retry-failed", ("upload", True, ())),
        ("run", ("run", False, None, ())),
        ("run --watch 15m --retry-failed", ("run", True, 900.0, ())),
        ("xcheck", ("xcheck", False, (), True, None, ())),
        ("xcheck --deep --container a", ("xcheck", True, ("a",), True, None, ())),
        ("xcheck --inventory in/manifest.json", ("xcheck", False, (), True, Path("in/manifest.json"), ())),
        ("xcheck --checksums a.csv --checksums b", ("xcheck", False, (), True, None, (Path("a.csv"), Path("b")))),
        ("xcheck --s3", ("xcheck", False, (), False, None, ())),
        ("report --batch-manifest job.csv", ("batch_manifest", Path("job.csv"))),
        ("xcheck --nas", ("scrub", 1, 1, ())),
        ("xcheck --nas --deep --slice 3/10 --container a", ("scrub", 3, 10, ("a",))),
        ("rebuild --overwrite", ("rebuild",)),
        ("status", ("status",)),
        ("report --csv a.csv --jsonl a.jsonl --html a.html --certificate c.jsonl", ("report",)),
        ("clean --yes", ("clean",)),
    ],
)
def test_each_verb_calls_its_one_method(line: str, call: tuple[Any, ...]) -> None:
    """A command line becomes one call of the method of its name."""
    migration = Recorder()
    assert scs(line, migration).code == (
        1 if line.startswith("report --csv") else 0
    )  # of a catalog that has listed nothing
    assert migration.calls == [call]


def test_a_batch_manifest_is_written_and_nothing_else() -> None:
    """Whoever asks for a report beside it is told that there is none."""
    migration = Recorder()
    said = scs("report --batch-manifest job.csv --csv all.csv", migration)
    assert (said.code, migration.calls) == (2, [])
    assert "nothing else" in said.err


def test_flags_are_settings() -> None:
    """Flags reach the settings, before everything else."""
    migration = Recorder()
    line = "run --db-file x.sqlite --media-folder /mnt/n --workers 3 --concurrency 9 --overwrite --attest"
    assert scs(line, migration, DB_FILE="y.sqlite", SCS_WORKERS="7").code == 0
    settings = migration.settings
    assert (settings.db_file, settings.media_folder) == (Path("x.sqlite"), Path("/mnt/n"))
    assert (settings.transfer.workers, settings.transfer.concurrency, settings.overwrite) == (3, 9, True)
    assert settings.transfer.attest is Attest.ALL
    assert scs("download --attest", migration).code == 0
    assert migration.settings.transfer.attest is Attest.ALL


def test_a_flag_that_is_not_given_leaves_the_word_to_others() -> None:
    """Without flags the environment counts."""
    migration = Recorder()
    scs("run", migration, DB_FILE="y.sqlite", SCS_WORKERS="7")
    assert (migration.settings.db_file, migration.settings.transfer.workers) == (Path("y.sqlite"), 7)
    assert (migration.settings.overwrite, migration.settings.transfer.attest) == (False, Attest.NONE)


def test_each_flag_of_the_table_exists() -> None:
    """Every setting that says it has a flag has one."""
    known = {option for command in APP.commands.values() for parameter in command.params for option in parameter.opts}
    assert {setting.flag for setting in TABLE if setting.flag} <= known


@pytest.mark.parametrize(("count", "words"), [(0, "Name them in scs.toml"), (1, "1 live container "), (2, "2 live ")])
def test_reset_live_says_how_many(count: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of containers is told, and with none where to name them."""
    migration = Recorder()
    monkeypatch.setattr(migration, "reset_live", lambda: count)
    assert words in scs("reset-live", migration).out
    assert json.loads(scs("reset-live --json", migration).out)["containers"] == count


def test_warnings_of_the_settings_are_told() -> None:
    """What the settings warn of is said at the start, on standard error."""
    Path(".env").write_text("AZURE_STORAGE_ACCOUNT=a\nAZURE_STORAGE_SAS_TOKEN=sv=1&sig=x\n")
    Path(".env").chmod(0o644)
    said = scs("status")
    assert "chmod 600" in said.err
    assert "chmod 600" not in said.out


# ----------------------------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples_and_exit_codes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each verb's help shows examples that begin with it, and each exit code that it can give."""
    assert scs(f"{verb} --help").code == 0
    text = capsys.readouterr().out
    examples, codes = text.partition("Examples:")[2].split("Exit codes:")
    assert f"  scs {verb}" in examples
    shown = [int(code) for code in re.findall(r"^  (\d+)  ", codes, re.MULTILINE)]
    assert {0, 2, 3} <= set(shown) <= set(EXIT_CODES)
    assert ({130, 143} <= set(shown)) == (verb in RUNS + READING)


def test_every_verb_has_json_quiet_and_db_file() -> None:
    """The options that the contract promises for every verb are there."""
    assert list(APP.commands) == VERBS
    for command in APP.commands.values():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--json", "--quiet", "--db-file"} <= options


def test_every_example_is_a_command_line_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of the help are accepted as they stand."""
    keyboard = Typist("y\n")
    monkeypatch.setattr(sys, "stdin", keyboard)
    for command in APP.commands.values():
        for example, _ in getattr(command, "examples", ()):
            for line in example.partition(" > ")[0].split(" && "):
                migration = Recorder()
                said = scs(line.replace("storage.sqlite", "'a catalog.sqlite'"), migration, stdin=keyboard)
                reads = command.name in READING and "--batch-manifest" not in line
                assert said.code == (1 if reads else 0), (line, said)  # of a catalog that has listed nothing
                assert len(migration.calls) == (0 if command.name == "verify-certificate" else 1)


def test_no_verb_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`scs` alone shows what there is, and says by its code that nothing was done."""
    assert scs("").code == 2
    assert "xcheck" in capsys.readouterr().out


def test_help_fits_forty_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Help is readable on a narrow terminal."""
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((40, 24)))
    for line in ("--help", "run --help"):
        scs(line)
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("line", "words", "hint"),
    [
        ("statsu", "no verb 'statsu'", "Did you mean scs status?"),
        ("qqq", "no verb 'qqq'", "There are: init, sync"),
        ("sync --contianer a", "no option --contianer", "Did you mean --container?"),
        ("sync --zzz", "no option --zzz", "scs sync --help"),
        ("sync buckets", "containers or blobs, not 'buckets'", "both"),
        ("sync blobs more", "unexpected extra argument", "scs sync --help"),
        ("--json status", "--json stands behind the verb", "scs status --json"),
        ("run --watch", "requires an argument", "scs run --help"),
        ("run --watch 15", '--watch: "15" is not a duration', "15m"),
        ("run --watch 0s", "too often", "15m"),
        ("xcheck --slice 3/10", "needs --nas", "Add --nas"),
        ("xcheck --nas --checksums a.csv", "looks at files only", "one of them at a time"),
        ("xcheck --nas --slice 3", "--slice 3: not two whole numbers", "3/10"),
        ("xcheck --nas --slice -1/10", "--slice -1/10: not two whole numbers", "3/10"),
        ("xcheck --nas --slice 1/1e3", "not two whole numbers", "3/10"),
        ("xcheck --nas --slice \u0663/9", "not two whole numbers", "3/10"),
        ("xcheck --nas --slice 11/10", "of 10 slices there is none with the number 11", "3/10"),
        ("xcheck --nas --slice 0/10", "there is none with the number 0", "3/10"),
        ("xcheck --nas --slice 0/0", "of 0 slices", "3/10"),
        ("run --workers many", "--workers must be a whole number, not 'many'", "Worker processes"),
        ("run --concurrency 99999", "--concurrency must be from 0 to 4096", "Requests out"),
        ("-sync -container", "The flags of 2019 are verbs now.", "scs sync"),
        ("-xcheck", "The flags of 2019 are verbs now.", "scs xcheck"),
        ("clean", "nobody is there to answer", "--yes"),
    ],
)
def test_a_command_line_that_cannot_work(line: str, words: str, hint: str) -> None:
    """A mistake on the command line is exit 2, with a sentence and a way out, and nothing is started."""
    migration = Recorder()
    said = scs(line, migration)
    assert said.code == 2
    assert words in said.err
    assert hint in said.err
    assert said.out == "" or "--json" in line
    assert migration.calls == []


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        ("--account-key", "AZURE_STORAGE_ACCESS_KEY"),
        ("--azure-storage-key", "AZURE_STORAGE_ACCESS_KEY"),
        ("--sas-token", "AZURE_STORAGE_SAS_TOKEN"),
        ("--sas", "AZURE_STORAGE_SAS_TOKEN"),
        ("--connection-string", "AZURE_STORAGE_CONNECTION_STRING"),
        ("--aws-access-key-id", "AWS_ACCESS_KEY_ID"),
        ("--secret-access-key", "AWS_SECRET_ACCESS_KEY"),
        ("--aws-secret-access-key", "AWS_SECRET_ACCESS_KEY"),
        ("--session-token", "AWS_SESSION_TOKEN"),
        ("--password", ".env"),
    ],
)
@pytest.mark.parametrize("form", ["run {}=s3cr3t", "{}=s3cr3t run", "run {} s3cr3t", "run --json {}=s3cr3t"])
def test_secrets_never_come_by_flag(flag: str, name: str, form: str) -> None:
    """A flag for a secret does not exist: the sentence says where to put it, and never repeats it."""
    said = scs(form.format(flag))
    assert said.code == 2
    assert "secrets never come by flag" in said.err
    assert name in said.err
    assert "s3cr3t" not in said.err + said.out


def test_a_mistake_is_a_document_too() -> None:
    """With --json also a mistake on the command line is a document."""
    document = json.loads(scs("run --json --zzz").out)
    assert (document["verb"], document["exit_code"], document["error"]["code"]) == ("run", 2, "USAGE")


def test_bad_settings_stop_before_anything_starts() -> None:
    """A fault of the settings is exit 2, and no migration is made."""
    migration = Recorder()
    said = scs("run", migration, AWS_ACCESS_KEY_ID="x")
    assert said.code == 2
    assert "AWS_SECRET_ACCESS_KEY" in said.err
    assert migration.calls == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (EnvironmentFault("NAS-FULL", "The NAS is full.", "Make room."), 3),
        (CatalogBusy("CAT-BUSY", "Another run holds it.", "Wait."), 4),
        (Mismatch("X", "They differ.", "Look."), 5),
    ],
)
def test_a_fault_is_its_sentence_its_hint_and_its_code(fault: Exception, code: int) -> None:
    """Each fault of ours ends with its sentence, its way out and its exit code."""

    def act(_: Recorder) -> None:
        raise fault

    said = scs("run", Recorder(act))
    assert said == Said(code, "", f"scs: {fault.args[1]}\n{fault.args[2]}\n")


def test_a_mistake_of_our_own_shows_no_traceback() -> None:
    """What nobody foresaw is a sentence and exit 3; the traceback lies beside the catalog, without secrets."""

    def act(_: Recorder) -> None:
        raise ZeroDivisionError("with s3cr3t in it")

    Path("catalog").mkdir()
    said = scs("run --db-file catalog/x.sqlite", Recorder(act), AWS_ACCESS_KEY_ID="i", AWS_SECRET_ACCESS_KEY="s3cr3t")
    assert said.code == 3
    assert "This is a mistake in scs itself: ZeroDivisionError in test_cli.py" in said.err
    assert "Traceback" not in said.err
    (file,) = Path("catalog").glob("scs-crash-*.log")
    assert str(file) in said.err
    assert "ZeroDivisionError" in file.read_text()
    assert "ZeroDivisionError: with -REDACTED- in it" in file.read_text()
    assert "s3cr3t" not in file.read_text()


# ---------------------------------------------------------------------------------------------------------------- clean


def test_clean_asks_and_takes_no_for_an_answer(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """Clean asks with the catalog's name; with no, nothing is done."""
    for answer, calls in (("n\n", 0), ("y\n", 1)):
        migration = Recorder()
        keyboard = Typist(answer)
        monkeypatch.setattr(sys, "stdin", keyboard)
        assert scs("clean", migration, stdin=keyboard).code == 0
        assert len(migration.calls) == calls
        assert "Forget the catalog storage.sqlite?" in capsys.readouterr().err


def test_ctrl_c_at_the_question_is_a_no(monkeypatch: Any) -> None:
    """Ctrl-C at the question ends with 130, and nothing is done."""

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    migration = Recorder()
    keyboard = Typist()
    monkeypatch.setattr(keyboard, "readline", interrupted)
    monkeypatch.setattr("click.termui.visible_prompt_func", interrupted)
    assert scs("clean", migration, stdin=keyboard).code == 130
    assert migration.calls == []


# -------------------------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("verb", RUNS)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks_for_a_clean_end(verb: str, number: signal.Signals, code: int) -> None:
    """SIGINT and SIGTERM set the stop, with the signal's name; the verb ends by itself, with 130 or 143."""
    seen = []

    def act(migration: Recorder) -> None:
        os.kill(os.getpid(), number)
        seen.append((migration.stop.wait(5), migration.stop.signal_name))
        migration.listener(Progress(verb, TOTALS, Counts(), Rates(), 1.0, None, 0, 0))

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    said = scs(verb, Recorder(act))
    assert seen == [(True, number.name)]
    assert said.code == code
    assert "Stopping" in said.out
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


STUBBORN = """
import os, sys, time
from sync_cloud_storage import signing
from sync_cloud_storage.catalog import Catalog
from sync_cloud_storage.cli import Parts, main
class Stubborn:
    def __init__(self, settings, listener, stop): pass
    def run(self, **_):
        print("ready", flush=True)
        while True: time.sleep(0.05)
sys.exit(main(["run"], Parts(Stubborn, dict(os.environ), time.monotonic, sys.stdin, sys.stdout, sys.stderr)))
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_at_once(second: signal.Signals) -> None:
    """A run that does not end after the first signal is ended by the second, whatever it does."""
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(second)
        assert process.wait(5) == -second


# ----------------------------------------------------------------------------------------------------- the real process

COMMAND = [sys.executable, "-c", "import sys; from sync_cloud_storage.cli import main; sys.exit(main())"]


def test_help_does_not_wait_for_the_sdks() -> None:
    """`scs --help` and a mistyped option import neither SDK, libcurl nor rich."""
    heavy = "azure", "botocore", "pycurl", "rich", "lxml", "sqlite3", "dotenv", "asyncio"
    script = (
        "import sys; from sync_cloud_storage.cli import main; code = main(sys.argv[1:]);"
        f"print(code, [name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    for arguments in (["--help"], ["run", "--help"], ["--version"]):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        assert done.stderr == "0 []\n"


def test_version() -> None:
    """`scs --version` says the program's name and its version."""
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert re.match(r"scs[ ,]", done.stdout)


@pytest.mark.parametrize("arguments", ["--help", "run --help", "status --zzz", "status --workers"])
def test_a_reader_that_has_seen_enough(arguments: str) -> None:
    """Piped into `head -1`, no verb complains about the closed pipe."""
    line = f"'{COMMAND[0]}' -c '{COMMAND[2]}' {arguments} | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in {"0", "2"}
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_closed_streams_are_not_given_to_files() -> None:
    """Started with closed streams, the numbers 0, 1 and 2 lead nowhere, and never into a file that is opened later."""
    script = (
        "import os, sys; from sync_cloud_storage.cli import main; code = main(['status', '--zzz']);"
        "number = os.open('probe', os.O_CREAT | os.O_WRONLY); os._exit(code if number > 2 else 99)"
    )
    line = f'exec "$0" -c "{script}" <&- >&- 2>&-'
    assert subprocess.run(["bash", "-c", line, sys.executable], check=False).returncode == 2
