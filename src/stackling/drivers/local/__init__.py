"""Drivers for one machine: directories, files, unix sockets."""
