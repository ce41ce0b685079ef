"""``serve.py PORT``: Horizon with its collected files on that port of the loopback, until it is ended."""

import os
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application
from django.views import static

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openstack_dashboard.settings")


class Files(StaticFilesHandler):
    """Serves what was collected, as a web server in front of Horizon would."""

    def serve(self, request):
        return static.serve(request, self.file_path(request.path), document_root=settings.STATIC_ROOT)


class Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Logs the answers that tell of a failure only."""

    def log_request(self, code="-", size="-"):
        if str(code) >= "400":
            super().log_request(code, size)


if __name__ == "__main__":
    with make_server("127.0.0.1", int(sys.argv[1]), Files(get_wsgi_application()), Threads, Quiet) as server:
        server.serve_forever()
