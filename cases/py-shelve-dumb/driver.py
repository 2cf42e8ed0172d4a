import dbm.dumb
import shelve

from journal import STATE
from key_value import drive


def open_shelf():
    return shelve.Shelf(dbm.dumb.open(STATE + "/db", "c"))


class Store:
    def __init__(self):
        self.shelf = open_shelf()

    def put(self, key, value):
        self.shelf[key] = value
        self.shelf.sync()

    def delete(self, key):
        del self.shelf[key]
        self.shelf.sync()

    def close(self):
        self.shelf.close()


drive(Store, lambda: dict(open_shelf()))
