import transaction
import ZODB
import ZODB.FileStorage

from journal import STATE
from key_value import drive


class Store:
    def __init__(self):
        storage = ZODB.FileStorage.FileStorage(STATE + "/d.fs")
        self.connection = ZODB.DB(storage).open()

    def put(self, key, value):
        self.connection.root()[key] = value
        transaction.commit()

    def delete(self, key):
        del self.connection.root()[key]
        transaction.commit()

    def close(self):
        self.connection.close()
        self.connection.db().close()


def dump():
    store = Store()
    held = dict(store.connection.root())
    store.close()
    return held


drive(Store, dump)
