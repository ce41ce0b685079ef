"""What goes wrong in a lab."""


class LabError(Exception):
    """It can't be done; the message says why and what to do next."""
