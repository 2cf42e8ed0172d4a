from tinydb import Query, TinyDB

from journal import STATE
from key_value import drive

PATH = STATE + "/db.json"


class Store:
    def __init__(self):
        self.database = TinyDB(PATH)

    def put(self, key, value):
        self.database.upsert({"k": key, "v": value}, Query().k == key)

    def delete(self, key):
        self.database.remove(Query().k == key)

    def close(self):
        self.database.close()


def dump():
    return {document["k"]: document["v"] for document in TinyDB(PATH).all()}


drive(Store, dump)
