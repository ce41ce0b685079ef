"""OpenID Connect providers over HTTP: their keys, their tokens, and sign-ins through a browser."""
