# SPDX-License-Identifier: Apache-2.0
"""Column types that mean the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

# Byte order on both engines: ids and scope paths are compared with < and >=, which a locale's order would break.
Key = sa.String().with_variant(sa.String(collation="C"), "postgresql")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(sa.types.TypeDecorator[datetime]):
    """A moment in UTC, kept as Unix milliseconds: exact, ordered, and free of either engine's time zone rules."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's
        """Return the milliseconds of an aware `value`; a naive one is a defect of ours."""
        if value is None:
            return None
        return (value - EPOCH) // timedelta(milliseconds=1)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's
        """Return the moment in UTC."""
        return None if value is None else EPOCH + timedelta(milliseconds=value)
