"""The HTTP APIs: routes as data, one folder a service. Imports services; no store and no driver."""
