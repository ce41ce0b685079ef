"""The OCF resource agents ``ocf:stackling:*``.

They are installed as a package of their own (``files.py``) and run by ``/usr/bin/python3 -I``: nothing but the standard
library and each other may be imported here, so that they work while everything else of ours is broken.

They are called every few seconds on every machine, and most of what a call costs is what it imports. So what a monitor
imports is little: no ``dataclasses``, ``enum``, ``typing``, ``pathlib``, ``subprocess`` or ``ssl`` (each takes longer
than all the work); what only other actions need is imported where it is used.
"""
