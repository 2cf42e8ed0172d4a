"""The workload that every key/value case in Python runs.

A case gives a store with four functions: `put(key, value)`, `delete(key)`, `close()`, and `dump()`, which opens
the store by itself and returns everything that it holds. `CASES_REPEAT` makes the workload so many times as long.
"""

import json
import os
import sys

from journal import acknowledge, intend
from stream import serve


def drive(open_store, dump):
    """`setup` fills the store, `work` changes it under the journal, `check` prints what it holds, `stream` does so for
    one state after another."""
    phase = sys.argv[1]
    if phase == "check":
        print(json.dumps(dump()))
        return
    if phase == "stream":
        serve(dump)
        return
    store = open_store()

    def put(key, value):
        intend(key, value)
        store.put(key, value)
        acknowledge(key)

    def delete(key):
        intend(key, "-")
        store.delete(key)
        acknowledge(key)

    def work(number):
        """Adds a key, shrinks a value, grows a value, adds another key and deletes one."""
        again = str(number) if number else ""
        put(f"new{2 * number}", "alpha")
        put("old1", "short" + again)
        put("old2", "x" * 300 + again)
        put(f"new{2 * number + 1}", "beta")
        delete(f"new{2 * number - 1}" if number else "old3")

    if phase == "setup":
        for number in range(5):
            put(f"old{number}", "v" * 40 + str(number))
    else:
        for number in range(int(os.environ.get("CASES_REPEAT", "1"))):
            work(number)
    store.close()
