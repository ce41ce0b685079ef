"""The metadata service: what a guest reads at 169.254.169.254 and fe80::a9fe:a9fe."""
