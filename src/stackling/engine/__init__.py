"""Claims, leases, turns and sweeps; knows no service and no SQL."""
