"""Block Storage v3: Cinder's API, microversions 3.0 to 3.71."""
