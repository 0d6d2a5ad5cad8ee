"""The index's schema, as the steps that led to it. Append only: a step that was released is never edited.

A new index is made from `schema` at once, and one that has all of these steps is opened without this module: a new step
goes into `schema` too, and `schema.CURRENT` has to follow, which the tests see to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlite_utils import Migrations

from hubfold.index import schema

if TYPE_CHECKING:
    from sqlite_utils import Database

migrations = Migrations(schema.SET)


@migrations()
def m001_tables(db: Database) -> None:
    for statement in schema.M001_TABLES:
        db.execute(statement)


@migrations()
def m002_tallies(db: Database) -> None:
    for statement in schema.M002_TALLIES:
        db.execute(statement)


@migrations()
def m003_stores(db: Database) -> None:
    for statement in schema.M003_STORES:
        db.execute(statement)
