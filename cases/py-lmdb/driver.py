import lmdb

from journal import STATE
from key_value import drive


class Store:
    def __init__(self):
        self.environment = lmdb.open(STATE + "/db", map_size=1 << 20)

    def put(self, key, value):
        with self.environment.begin(write=True) as transaction:
            transaction.put(key.encode(), value.encode())

    def delete(self, key):
        with self.environment.begin(write=True) as transaction:
            transaction.delete(key.encode())

    def close(self):
        self.environment.close()


def dump():
    store = Store()
    with store.environment.begin() as transaction:
        return {key.decode(): value.decode() for key, value in transaction.cursor()}


drive(Store, dump)
