"""The catalog: one SQLite file that says what there is, what happened to it, and what is left. `docs/catalog.md`.

catalog.py      the verbs; each is one transaction               manifests.py  those about manifests, a part of them
opening.py      create, open, migrate, back up, take away        database.py   one connection, its errors made ours
lock.py         one writer                                       local_disk.py where a catalog may lie
containers.py   the account's listing                            pages.py      a container's listing
places.py       who gets which path                              housing.py    rows get their places
versions.py     a blob that changed, left, came back             counting.py   the running sums
work.py         rows become tasks                                results.py    results become rows
objects.py      the bucket as a check sees it                    recalling.py  between rows and manifests
sums.py         numbers for people                               state.py      identity, runs
balances.py     what was listed, what became of it, each blob by name, for reports
"""

from sync_cloud_storage.catalog.catalog import Catalog

__all__ = ["Catalog"]
