"""What goes wrong in a command: one line that says what to do next, and an exit code."""

FAILED, NOT_FOUND, NOT_UP, TIMED_OUT, INTERRUPTED = 1, 3, 4, 5, 130


class Problem(Exception):
    """Shown as ``stackling: <message>``; the command ends with ``code``."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code
