"""Identity v3 over HTTP."""
