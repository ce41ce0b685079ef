"""The tiny guest image: a bootable disk made from Debian packages."""
