"""Starts processes named on standard input (a JSON list a line), answers with their pids, and collects orphans."""

import json
import os
import signal
import subprocess
import sys

from stackling.deploy.embedded import orphans

orphans.inherit()
signal.signal(signal.SIGCHLD, lambda *_: orphans.collect(()))
for line in sys.stdin:
    request = json.loads(line)
    with open(request["output"], "ab") as output:  # noqa: PTH123
        child = subprocess.Popen(request["argv"], env={**os.environ, **request["env"]}, stdin=subprocess.DEVNULL,
                                 stdout=output, stderr=output, start_new_session=True, cwd="/")
    child.returncode = 0
    print(child.pid, flush=True)
