"""``python -m tests.compatibility`` writes ``docs/compatibility-table.md``; ``--check`` only says if that is stale."""

import sys

from tests.compatibility.table import COMMAND, TABLE, compare, text


def main() -> int:
    """The command; returns its exit code."""
    unexplained = [one.operation for one in compare() if one.state == "no" and not one.reason]
    for operation in unexplained:
        print(f"no reason in reasons.toml: {operation.service} {operation.method} {operation.path} ({operation.title})")
    written = text()
    if "--check" in sys.argv[1:]:
        if TABLE.read_text() != written:
            print(f"{TABLE} is stale; run `{COMMAND}`")
            return 1
    else:
        TABLE.write_text(written)
    return bool(unexplained)


if __name__ == "__main__":
    sys.exit(main())
