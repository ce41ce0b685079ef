"""Network API v2.0 (Neutron): attribute tables, one pipeline for all resources, and what doesn't fit it."""
