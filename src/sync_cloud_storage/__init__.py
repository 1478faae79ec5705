"""Sync Cloud Storage: moves an Azure Blob Storage account to Amazon S3 by way of a NAS, and proves that it arrived.

The drawing is in `docs/design.md`. The library's face is `migration.Migration`, the command's is `cli.main`.
"""
