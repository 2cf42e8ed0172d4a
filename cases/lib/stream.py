"""A stream checker: reads a line `{"state": DIR, "id": N}` for each state and answers it, so that Python is started and
the store's library imported only once.

Each state is mounted at the same path, after the one before it was taken away; `dump` must open the store anew and
leave nothing open.
"""

import json
import sys

from journal import STATE


def serve(dump):
    for line in sys.stdin:
        question = json.loads(line)
        answer = {"id": question["id"]}
        if question["state"] != STATE:
            raise SystemExit(f"the state is at {question['state']}, not at {STATE}")
        try:
            answer["store"] = dump()
        except (Exception, SystemExit) as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)
