"""Set-up of a machine: embedded supervisor, engines, guest image."""
