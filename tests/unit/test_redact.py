"""What `redact.py` promises: no secret leaves, whatever form it takes; what is none stays readable."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from sync_cloud_storage.redact import MASK, redact

# Of the right shape, and of nobody's.
KEY = ("A1b2C3d4E5f6G7h8" * 6)[:86] + "=="
SIGNATURE = "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA%2Bx%3D"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"https://a.blob.core.windows.net/c/b?sv=2023&sp=rl&sig={SIGNATURE}&se=2026", SIGNATURE),
        (f"sv%3D2023%26sig%3D{SIGNATURE.replace('%', '%25')}%26se%3D2026", "Zm9vYmFy"),
        (f"GET /c/b?SIG={SIGNATURE} HTTP/1.1", SIGNATURE),
        (f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={KEY};EndpointSuffix=x", KEY),
        ("BlobEndpoint=https://a;SharedAccessSignature=sv=1&sig=s3cr3t", "s3cr3t"),
        ("AccountKey%3Dq83vEjRWeJA%253D%3BEndpoint", "q83vEjRWeJA"),
        ("Authorization: SharedKey account:q83vEjRWeJA=", "q83vEjRWeJA"),
        ("{'Authorization': 'Bearer tok3n.tok3n'}", "tok3n"),
        ("Proxy-Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("authorization: AWS4-HMAC-SHA256 Credential=X/2026/s3, Signature=deadbeef00", "deadbeef00"),
        ("x-amz-security-token: FwoGZXIvYXdzEBYaD", "FwoGZXIvYXdzEBYaD"),
        ("https://b.s3/k?X-Amz-Credential=KEYID123%2F2026&X-Amz-Signature=deadbeef00&X-Amz-Expires=1", "deadbeef00"),
        ("https://b.s3/k?X-Amz-Security-Token=FwoGZXIvYXdzEBYaD&x=1", "FwoGZXIvYXdzEBYaD"),
        ("x-ms-encryption-key: q83vEjRWeJA=", "q83vEjRWeJA"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
        ('{"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG"}', "wJalrXUtnFEMI"),
        ("aws_session_token = FwoGZXIvYXdz", "FwoGZXIvYXdz"),
        ("AZURE_CLIENT_SECRET=abc~def.ghi", "abc~def"),
        ("proxy http://user:pa55word@proxy:3128 failed", "pa55word"),
        (f"the key {KEY} was refused", KEY),
        (f"the key {quote(KEY, safe='')} was refused", "A1b2C3d4E5f6"),
        ("key id AKIAABCDEFGHIJKLMNOP", "AKIAABCDEFGHIJKLMNOP"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "eyJhbGciOiJIUzI1NiJ9"),
    ],
)
def test_a_secret_is_masked_in_every_form(text: str, secret: str) -> None:
    """A secret is masked wherever it stands: query, header, connection string, dictionary, encoded once or twice."""
    assert secret in text
    assert secret not in redact(text)
    assert MASK in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "AWS_ACCESS_KEY_ID in .env has no AWS_SECRET_ACCESS_KEY beside it.",
        "The SAS token has no permission to list (l).",
        "The access key: it was refused.",
        "asset-0b7d/102336_H264_1800kbps.mp4",
        "https://mystore.blob.core.windows.net/container?restype=container&comp=list",
        "code=403 status=404",
        "crc64nvme rosUhgp5mIg=",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Sentences, names and addresses without a secret pass unchanged."""
    assert redact(text) == text


def test_what_stands_around_a_secret_stays() -> None:
    """The name of a parameter and its neighbours stay, so that a reader sees what was there."""
    assert redact("https://a/c?sv=1&sig=abc&se=2026") == f"https://a/c?sv=1&sig={MASK}&se=2026"


def test_known_secrets_are_masked_without_any_pattern() -> None:
    """A secret that is in use is masked wherever it stands, also url-encoded."""
    secret = "x/y+z plain"
    text = f"one {secret} two {quote(secret, safe='')} three"
    assert redact(text, [secret]) == f"one {MASK} two {MASK} three"


def test_short_known_values_are_left_alone() -> None:
    """A value too short to be secret does not riddle the text."""
    assert redact("eu and us", ["eu", ""]) == "eu and us"


def test_twice_is_once() -> None:
    """Masking what is masked changes nothing."""
    once = redact(f"sig={SIGNATURE}; Authorization: Bearer x; AccountKey={KEY}")
    assert redact(once) == once
