"""Runs in the clients' environment: ``python commands.py DIRECTORY FILE…`` gives each line of files to ``openstack``.

A line is a command without the word ``openstack``. ``! `` before it: it must be refused. ``name := `` before it keeps
what it shows: ``$name`` is the id, ``$name__field`` a field; ``$dir`` is the directory, for files. ``NAME=value`` words
before it are its environment. ``until FIELD=VALUE `` before it: it is repeated until it shows that, and with
``until gone `` until it is refused; a minute or two at most. Each command is the client's own ``run`` with
nothing replaced, in a process of its own that is forked from this one, since loading a client takes longer than what it
does. A command that fails with a trace of Python's, or on an answer of 500 and above other than "not implemented",
counts as failed even where it must be refused.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import re
import shlex
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import requests
from openstackclient import shell

HERE = Path(__file__).parent
VARIABLE = re.compile(r"\$(\w+)")
SERVERS_FAULT = re.compile(r"^\w+ \S+ 5(?!01)\d\d\b")
SECONDS = 300
"""The most that one command may take."""
PATIENCE = 120
"""Seconds for what ``until`` waits for."""


class Done(NamedTuple):
    """How a command ended, and the answers that it got: ``METHOD URL status`` (with the text of a refusal)."""

    code: Any
    out: str
    errors: str
    answers: list[str]


class Commands:
    """Runs lines; ``kept`` is what they showed."""

    def __init__(self, kept: dict[str, str]) -> None:
        self.kept = kept

    def run(self, line: str) -> str | None:
        """Why the line's command failed; None where it did what it must."""
        refused, line = line.startswith("! "), line.removeprefix("! ")
        name, said, rest = line.partition(" := ")
        name, line = (name, rest) if said else ("", line)
        words = shlex.split(VARIABLE.sub(lambda found: self.kept.get(found[1], found[0]), line))
        variables: dict[str, str] = {}
        while words and re.match(r"OS_\w+=", words[0]):
            key, _, value = words.pop(0).partition("=")
            variables[key] = value
        done = _forked([*words, *(("-f", "json") if name else ())], variables)
        broken = done.code == "trace" or any(SERVERS_FAULT.search(one) for one in done.answers)
        if broken or (done.code == 0) == refused:
            return "\n".join((f"openstack {shlex.join(words)}: {done.code}", done.errors[-1500:], *done.answers))
        if name:
            self._keep(name, done.out)
        return None

    def wait(self, line: str) -> str | None:
        """Run the line again and again until it shows what is wanted; why it doesn't, or None."""
        wanted, _, line = line.partition(" ")
        field, _, value = wanted.partition("=")
        ends = time.monotonic() + PATIENCE
        while True:
            self.kept.pop(f"it__{field}", None)
            failure = self.run(("! " if wanted == "gone" else "it := ") + line)
            seen = "gone" if wanted == "gone" and failure is None else self.kept.get(f"it__{field}")
            if seen == (value or wanted):
                return None
            if time.monotonic() > ends:
                return failure or f"{line}: {field} is {seen}, and not {value}"
            time.sleep(0.5)

    def _keep(self, name: str, out: str) -> None:
        shown = json.loads(out)
        shown = (shown or [{}])[0] if isinstance(shown, list) else shown
        fields = {re.sub(r"[^a-z0-9]", "_", str(key).lower()): value for key, value in shown.items()}
        self.kept[name] = str(fields.get("id") or fields.get("uuid") or fields.get("name"))
        self.kept.update({f"{name}__{key}": str(value) for key, value in fields.items()})


def _forked(words: list[str], variables: dict[str, str]) -> Done:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_child, args=(words, variables, theirs))
    child.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(SECONDS) else Done("timeout", "", "", [])
    finally:
        child.kill()
        child.join()


def _child(words: list[str], variables: dict[str, str], result: Any) -> None:
    out, errors, answers = io.StringIO(), io.StringIO(), list[str]()
    real = requests.Session.send

    def send(session: Any, request: Any, **options: Any) -> Any:
        answer = real(session, request, **options)
        said = f": {answer.text[:400]}" if answer.status_code >= 400 else ""
        answers.append(f"{request.method} {request.url} {answer.status_code}{said}")
        return answer

    requests.Session.send = send    # type: ignore[method-assign]
    os.environ.update(variables)
    for key in [key for key, value in variables.items() if not value]:
        del os.environ[key]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = shell.OpenStackShell().run(words)
        except SystemExit as ended:
            code = ended.code
        except Exception:
            traceback.print_exc(file=errors)
            code = "trace"
    result.send(Done(code if isinstance(code, (int, str)) else 0, out.getvalue(), errors.getvalue(), answers))


def main() -> int:
    warnings.simplefilter("ignore")
    files = [Path(one) for one in sys.argv[2:]]
    commands = Commands({"dir": sys.argv[1]})
    ran = failed = 0
    for file in files:
        for line in file.read_text().splitlines():
            if line and not line.startswith("#"):
                ran += 1
                waits = line.startswith("until ")
                failure = commands.wait(line.removeprefix("until ")) if waits else commands.run(line)
                if failure is not None:
                    failed += 1
                    print(f"{file.name}: {failure}\n", flush=True)
    print(f"{ran - failed} commands did what they must, {failed} didn't")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
