"""The strict cloud as a process: prints its addresses and credentials as one line of JSON, ends with Ctrl-C or SIGTERM.

The script is JSON: `{"blobs": [{"container": "films", "name": "a", "text": "..."}, {..., "seed": 1, "size": 1000}],
"buckets": ["target"], "page": 100, "faults": [{"do": "Reset", "after": 10, "operation": "GetBlob"}]}`. The other keys
of a blob are those of `Azure.put`.
"""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path
from typing import Any

from tests.servers.strict import Seeded, StrictCloud, from_json


def main() -> None:
    """Run until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers.strict", description=__doc__)
    parser.add_argument("--azure-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--s3-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--tls", type=Path, metavar="FOLDER", help="use TLS; the certificates go into this folder")
    parser.add_argument("--script", type=Path, metavar="JSON", help="blobs, buckets and faults to begin with")
    parser.add_argument("--log", type=Path, metavar="JSONL", help="where every request is written at the end")
    given = parser.parse_args()
    # Before the first thread, so that all of them leave these signals to `sigwait`.
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with StrictCloud(tls=given.tls, ports=(given.azure_port, given.s3_port)) as cloud:
        if given.script:
            play(cloud, json.loads(given.script.read_text("utf-8")))
        addresses = {"azure": cloud.azure_at._asdict(), "s3": cloud.s3_at._asdict()}
        print(json.dumps(addresses, default=str), flush=True)
        signal.sigwait(ends)
    if given.log:
        lines = (json.dumps(each._asdict()) for each in cloud.log)
        given.log.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def play(cloud: StrictCloud, script: dict[str, Any]) -> None:
    """Fill the cloud as a script says."""
    cloud.azure.page = script.get("page", cloud.azure.page)
    for blob in script.get("blobs", []):
        given = dict(blob)
        content = Seeded(given.pop("seed"), given.pop("size")) if "seed" in given else given.pop("text", "").encode()
        cloud.azure.put(given.pop("container"), given.pop("name"), content, **given)
    for bucket in script.get("buckets", []):
        cloud.s3.make_bucket(bucket)
    cloud.faults += from_json(script.get("faults", []))


if __name__ == "__main__":
    main()
