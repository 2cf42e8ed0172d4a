"""The workload that every key/value case in Python runs.

A case gives a store with four functions: `put(key, value)`, `delete(key)`, `close()`, and `dump()`, which opens
the store by itself and returns everything that it holds.
"""

import json
import sys

from journal import acknowledge, intend


def drive(open_store, dump):
    """`setup` fills the store, `work` changes it under the journal, `check` prints what it holds."""
    phase = sys.argv[1]
    if phase == "check":
        print(json.dumps(dump()))
        return
    store = open_store()

    def put(key, value):
        intend(key, value)
        store.put(key, value)
        acknowledge(key)

    if phase == "setup":
        for number in range(5):
            put(f"old{number}", "v" * 40 + str(number))
    else:
        put("new0", "alpha")
        put("old1", "short")
        put("old2", "x" * 300)
        put("new1", "beta")
        intend("old3", "-")
        store.delete("old3")
        acknowledge("old3")
    store.close()
