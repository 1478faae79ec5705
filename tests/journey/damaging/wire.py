"""Faults of the strict cloud that do to answers and uploads on the wire what `kinds.py` says, for chosen blobs."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

from tests.servers.strict.faults import Action
from tests.servers.strict.wire import Body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.servers.strict import StrictCloud
    from tests.servers.strict.wire import Reply, Request

    Change = Callable[[dict[str, str], bytes], tuple[dict[str, str], bytes]]  # of headers and body


class Chosen(Action):
    """An action of its own for each of some blobs, by `container/blob`: for the first request about it, or for all.

    Attributes:
        hit: About which there was a request.
    """

    def __init__(self, actions: Mapping[str, Action], *, always: bool = False) -> None:
        self._actions = dict(actions)
        self._always = always
        self.hit: set[str] = set()

    def play(self, cloud: StrictCloud, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """See the class."""
        name = unquote(request.path).split("/", 2)[-1]
        action = self._actions.get(name) if self._always else self._actions.pop(name, None)
        if action is None:
            return answer(request)
        self.hit.add(name)
        return action.play(cloud, request, answer)


class Spoiled(Action):
    """Another answer: what a function makes of headers and body."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def on_reply(self, reply: Reply) -> Reply:
        """Tamper with the answer."""
        headers, body = self._change(dict(reply.headers), b"".join(reply.body))
        return reply._replace(headers=headers, body=[body], size=len(body) if reply.body else reply.size)


class SpoiledUpload(Action):
    """Other bytes arrive than were sent, as many as the headers say."""

    def __init__(self, change: Callable[[bytes], bytes]) -> None:
        self._change = change

    def on_request(self, cloud: StrictCloud, request: Request) -> Request:
        """Tamper with the upload."""
        wrong = self._change(b"".join(request.body.pieces()))
        return replace(request, body=Body(cast("BufferedReader", BytesIO(wrong)), len(wrong), None))


class SpoiledListing(Action):
    """Other ETags in a listing of the bucket, by key.

    Attributes:
        hit: The keys that were shown so.
    """

    def __init__(self, etags: Mapping[str, str]) -> None:
        self._etags = etags
        self.hit: set[str] = set()

    def on_reply(self, reply: Reply) -> Reply:
        """Tamper with the answer."""

        def other(row: re.Match[str]) -> str:
            etag = self._etags.get(unquote(row[2]))
            if etag is None:
                return row[0]
            self.hit.add(unquote(row[2]))
            return f"{row[1]}{row[2]}{row[3]}{etag}{row[5]}"

        text = b"".join(reply.body).decode()
        form = r"(<Key>)([^<]*)(</Key><LastModified>[^<]*</LastModified><ETag>&quot;)([^&]*)(&quot;)"
        body = re.sub(form, other, text).encode()
        return reply._replace(body=[body], size=len(body))
