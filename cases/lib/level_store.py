"""LevelDB through plyvel, with or without `sync` on every write."""

import plyvel

from journal import STATE
from key_value import drive


class LevelStore:
    def __init__(self, sync):
        self.database = plyvel.DB(STATE + "/db", create_if_missing=True)
        self.sync = sync

    def put(self, key, value):
        self.database.put(key.encode(), value.encode(), sync=self.sync)

    def delete(self, key):
        self.database.delete(key.encode(), sync=self.sync)

    def close(self):
        self.database.close()


def drive_level(sync):
    def dump():
        rows = LevelStore(sync).database
        return {key.decode(): value.decode() for key, value in rows}

    drive(lambda: LevelStore(sync), dump)
