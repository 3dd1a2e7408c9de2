"""The tables of the catalog, as the current schema version has them.

Names carry a prefix, because teams put the catalog into a database that holds other things too. Documents are JSON
as text: no database gets to reorder or reject what a definition holds. No index covers text of unbounded length.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = ["asset_names", "assets", "computes", "deployments", "endpoints", "job_tags", "jobs", "metadata", "schema"]

metadata = MetaData()


def _documented() -> list[Column[str] | Column[int]]:
    return [
        Column("document", Text, nullable=False),
        Column("revision", Integer, nullable=False),
        Column("created", String, nullable=False),
        Column("updated", String, nullable=False),
    ]


schema = Table("dask_batch_schema", metadata, Column("version", Integer, nullable=False))

endpoints = Table(
    "dask_batch_endpoints",
    metadata,
    Column("name", String, primary_key=True),
    Column("default_deployment", String),
    *_documented(),
)

deployments = Table(
    "dask_batch_deployments",
    metadata,
    Column("endpoint", String, ForeignKey(endpoints.c.name, ondelete="CASCADE"), primary_key=True),
    Column("name", String, primary_key=True),
    *_documented(),
)

computes = Table("dask_batch_computes", metadata, Column("name", String, primary_key=True), *_documented())

# One row for each asset, kept when its versions are deleted: a number is never given twice.
asset_names = Table(
    "dask_batch_asset_names",
    metadata,
    Column("kind", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("next_version", BigInteger, nullable=False),
)

assets = Table(
    "dask_batch_assets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("version", String, nullable=False),
    Column("document", Text, nullable=False),
    Column("created", String, nullable=False),
    UniqueConstraint("kind", "name", "version"),
)

jobs = Table(
    "dask_batch_jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("endpoint", String, nullable=False, index=True),
    Column("deployment", String, nullable=False),
    Column("compute", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("created", String, nullable=False),
    Column("state", String, index=True),
    Column("idempotency_key", String, unique=True),
    Column("display_name", Text),
    Column("experiment_name", Text),
    Column("tags", Text, nullable=False),
    Column("document", Text, nullable=False),
)

job_tags = Table(
    "dask_batch_job_tags",
    metadata,
    Column("job_id", Integer, ForeignKey(jobs.c.id, ondelete="CASCADE"), nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    Index("ix_dask_batch_job_tags_job_id", "job_id"),
)
