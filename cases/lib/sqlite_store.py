"""SQLite through Python's sqlite3: every put is a transaction of two rows, so that a commit spans several pages."""

import sqlite3

from journal import STATE
from key_value import drive

PATH = STATE + "/db.sqlite"
SHADOW = "_shadow"


class SqliteStore:
    def __init__(self, journal_mode, synchronous):
        self.connection = sqlite3.connect(PATH, isolation_level=None)
        self.connection.execute(f"pragma journal_mode={journal_mode}")
        self.connection.execute(f"pragma synchronous={synchronous}")
        self.connection.execute("create table if not exists t(k text primary key,v text)")

    def put(self, key, value):
        insert = "insert or replace into t values(?,?)"
        self.connection.execute("begin immediate")
        self.connection.execute(insert, (key, value))
        self.connection.execute(insert, (SHADOW, value * 60))
        self.connection.execute("commit")

    def delete(self, key):
        self.connection.execute("delete from t where k=?", (key,))

    def close(self):
        self.connection.close()


def dump():
    connection = sqlite3.connect(PATH)
    found = connection.execute("pragma integrity_check").fetchall()
    if found != [("ok",)]:
        raise SystemExit(f"integrity_check: {found[:1]}")
    rows = connection.execute("select k,v from t")
    return {key: value for key, value in rows if key != SHADOW}


def drive_sqlite(journal_mode, synchronous):
    drive(lambda: SqliteStore(journal_mode, synchronous), dump)
