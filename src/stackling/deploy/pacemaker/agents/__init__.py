"""The OCF resource agents ``ocf:stackling:*``.

They are installed as a package of their own (``files.py``) and run by ``/usr/bin/python3 -I``: nothing but the standard
library and each other may be imported here, so that they work while everything else of ours is broken.
"""
