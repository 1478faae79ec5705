"""What a person wrote behind an option, as a value."""

from __future__ import annotations

from sync_cloud_storage.errors import UsageFault


def interval_s(text: str) -> float:
    """The pause of `--watch`, in seconds: `15m`."""
    from sync_cloud_storage import units  # noqa: PLC0415

    try:
        seconds = units.parse_duration(text)
    except UsageFault as fault:
        raise UsageFault("USAGE", f"--watch: {fault.sentence}", fault.hint) from None
    if seconds < 1:
        raise UsageFault("USAGE", f"--watch {text} is too often.", "A listing takes a while: from 1s on, such as 15m.")
    return seconds


def slice_of(text: str | None, *, nas: bool) -> tuple[int, int]:
    """A slice of `--slice`: `3/10` is the third of ten; None the only one. It goes with `--nas` only."""
    if text is None:
        return 1, 1
    if not nas:
        raise UsageFault("USAGE", "--slice is a part of the files on the NAS, and needs --nas.", "Add --nas.")
    part, slash, parts = text.partition("/")
    if not (slash and all(number.isascii() and number.isdigit() and len(number) < 10 for number in (part, parts))):
        said = f"--slice {text}: not two whole numbers with a slash between them."
    elif not 1 <= int(part) <= int(parts):
        said = f"--slice {text}: of {int(parts):,} slices there is none with the number {int(part):,}."
    else:
        return int(part), int(parts)
    raise UsageFault("USAGE", said, "Such as 3/10, the third of ten slices; all ten together are every file.")
