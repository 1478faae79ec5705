"""Small blobs that travel in company: side by side in one story, which saves much of what each costs (docs/adr/0012).

Company is for what goes well. Whatever does not is left to go on alone, with the answer that it had, so that nothing is
asked for twice and only one place knows what to make of a refusal. Floor 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.http.messages import Requests, Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_cloud_storage.http.messages import Request, Story

COMPANY = 16  # blobs in one story; more would save little, and all wait for the slowest answer
COMPANY_BYTES = 64 << 10  # the largest of them


class Alone(NamedTuple):
    """A blob that its company leaves behind: it goes on alone, with the answer that it had, if any."""

    answer: Response | None


def answers_to(requests: Sequence[Request | None]) -> Story[list[Response | None]]:
    """Make *requests* side by side; None where there was none, or where an exception came in place of an answer."""
    came = iter((yield Requests([request for request in requests if request is not None])))
    answers = [None if request is None else next(came) for request in requests]
    return [answer if isinstance(answer, Response) else None for answer in answers]
