"""What reading a page the quick way promises: the outcome of the XML parser, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import example, given
from hypothesis import strategies as st

from sync_cloud_storage.azure import pages, rows

if TYPE_CHECKING:
    from sync_cloud_storage.model import Blob

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
START = '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://x/" ContainerName="c">'
END = "<NextMarker>m</NextMarker></EnumerationResults>"

HOSTILE = (
    "", "&amp;", "&lt;", "&#65;", "&#0;", "&nix;", "<", ">", "]]>", "<![CDATA[x]]>", "<![CDATA[</Blob>]]>",
    "<!-- x -->", "<!-- </Blob> -->", "<!--", "-->", "<?php x?>", "<?xml version='1.0'?>", "<!DOCTYPE x>", "</Blob>",
    "<Blob>", "</Blob><Blob>", "<Blobs>", "</Blobs>", "<Blobs />", "</Blobs><Blobs>",
    "<BlobPrefix><Name>p/</Name></BlobPrefix>", "</Properties>", "<Properties>", "</Properties><Properties>",
    "<Name>other</Name>", '<Name Encoded="true">%41</Name>', "<Etag>other</Etag>",
    "<Content-Length>7</Content-Length>", "<Content-MD5>b3RoZXI=</Content-MD5>", "<Content-MD5 />",
    "<Last-Modified>x</Last-Modified>", "<X><Etag>other</Etag></X>", "<X>", "</X>", "<AccessTier>Cool</AccessTier>",
    "<Metadata><a>1</a></Metadata>", "<Metadata />", "<OrMetadata />", '<x:y xmlns:x="z" />', "\r\n", "\t", "\x01",
    "\x7f", "\x85", "\u2028", "\ufffe", "\ufeff", "é", "𝄞", " ", "a", '"', "'", "%2F", "NextMarker", "<NextMarker />",
)  # fmt: skip


def entry(
    name: str = "a/b",
    etag: str = "0x8DE",
    size: str = "10",
    md5: str = "<Content-MD5>AAAA</Content-MD5>",
    more: str = "",
) -> str:
    """A row as the service writes it."""
    return (
        f"<Blob><Name>{name}</Name><Properties><Creation-Time>{DATE}</Creation-Time><Last-Modified>{DATE}</Last-Modified>"
        f"<Etag>{etag}</Etag><Content-Length>{size}</Content-Length><Content-Type>video/mp4</Content-Type>"
        f"<Content-Encoding /><Content-CRC64 />{md5}<Cache-Control>max-age=1&amp;x</Cache-Control><BlobType>BlockBlob"
        f"</BlobType><AccessTier>Hot</AccessTier><ServerEncrypted>true</ServerEncrypted>{more}</Properties>"
        "<OrMetadata /></Blob>"
    )


def page(inside: str, start: str = START, end: str = END) -> bytes:
    """A page around rows."""
    return f"{start}<Blobs>{inside}</Blobs>{end}".encode("utf-8", "surrogatepass")


def slow(body: bytes) -> tuple[list[Blob], str] | None:
    """What the XML parser makes of a page; None for an error."""
    try:
        return pages._every(pages._parsed(body))
    except ValueError:
        return None


def quick(body: bytes) -> tuple[list[Blob], str] | None:
    """What the quick way makes of it."""
    return rows.read(body, pages._parsed, pages._entry)


def same(body: bytes) -> None:
    """Both ways agree, or the quick one leaves the page alone; and so does what the door uses."""
    if (found := quick(body)) is not None:
        assert found == slow(body)
    try:
        used: Any = pages.blobs(body)
    except ValueError:
        used = None
    assert used == slow(body)


def test_usual_rows_never_see_the_parser() -> None:
    """A page of the usual form is read without an element tree, each text between the values once."""
    asked: list[str] = []

    def seen(text: str) -> Blob:
        asked.append(text)
        return pages._entry(text)

    body = page("".join(entry(f"dir/é {number}", f"0x{number:X}", str(number)) for number in range(500)))
    found = rows.read(body, pages._parsed, seen)
    assert found == slow(body)
    assert found is not None
    assert len(found[0]) == 500
    assert len(asked) == 1


def test_rows_of_another_form_are_read_one_by_one() -> None:
    """Encoded names, entities and metadata cost their own row the quick way, not the page."""
    encoded = entry().replace("<Name>a/b", '<Name Encoded="true">a%01b')
    tagged = entry("t").replace("<OrMetadata />", "<Metadata><k>v</k></Metadata><OrMetadata />")
    body = page(entry() + encoded + entry("a&amp;b") + tagged + entry("z"))
    found = quick(body)
    assert found is not None
    assert [blob.name for blob in found[0]] == ["a/b", "a\x01b", "a&b", "t", "z"]
    assert found == slow(body)


def test_page_that_was_cut_off_is_no_page() -> None:
    """Wherever a page is cut, it never passes for a whole one (a lost NextMarker would end the listing)."""
    body = page(entry() + entry("b"))
    for end in range(len(body)):
        assert quick(body[:end]) is None
        assert slow(body[:end]) is None


def test_something_more_at_any_place() -> None:
    """Whatever stands at whatever place of a page, the outcome is the parser's."""
    text = page(entry("x") + entry("y", md5="<Content-MD5 />")).decode()
    places = [at for at in range(len(text) + 1) if at in {0, len(text)} or text[at] == "<" or text[at - 1] == ">"]
    for hostile in HOSTILE:
        for at in places:
            same((text[:at] + hostile + text[at:]).encode())


@given(
    st.lists(
        st.builds(
            entry,
            name=st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=3).map("".join),
            etag=st.sampled_from(["0x8DE", '"0x8DE"', "", "&quot;e&quot;", "<b/>"]),
            size=st.sampled_from(["0", "10", "", "-1", "\u0661", "1" * 30, " 1"]),
            md5=st.sampled_from(["", "<Content-MD5 />", "<Content-MD5>AA==</Content-MD5>", *HOSTILE]),
            more=st.lists(st.sampled_from(HOSTILE), max_size=2).map("".join),
        ),
        max_size=4,
    ),
    st.sampled_from(HOSTILE),
    st.sampled_from(["utf-8", "UTF-8", "iso-8859-1", "utf-16"]),
)
@example([entry("a"), entry("a")], "", "utf-8")
def test_any_page(entries: list[str], between: str, encoding: str) -> None:
    """Two ways, one outcome, for pages made of everything that an XML document can hold, and more."""
    same(page(between.join(entries), START.replace("utf-8", encoding)))


@given(st.text(max_size=12))
def test_any_name(name: str) -> None:
    """Any text in the place of a name, raw."""
    same(page(entry(name)))
