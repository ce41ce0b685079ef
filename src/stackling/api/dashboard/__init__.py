"""The dashboard: the built files of ``dashboard/``, served at ``/dashboard``."""
