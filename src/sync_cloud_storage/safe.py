"""Makes text from outside harmless on a terminal and in a line of a log. Pure."""

from __future__ import annotations


def safe(text: str) -> str:
    r"""Give *text* on one line, with everything that is not plainly visible written as `\xNN`, `\uNNNN`, `\UNNNNNNNN`.

    Blob names, file names and what a service answers may hold anything: an escape sequence that renames the window, a
    line break that forges a line of the log, a right-to-left mark that shows `gpj.exe` for `exe.jpg`, a character of
    no width that makes two names look alike. So C0, C1, DEL, bidi, zero-width, line separators, odd blanks, lone
    surrogates and characters that do not exist become text. A backslash stays: the result is for eyes, not a parser.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _written_out(ord(letter)) for letter in text)


def _written_out(point: int) -> str:
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
