"""Version of the package."""

name = "nengo_dl"
version_info = (4, 0, 0)  # major, minor, patch
dev = 0  # number of the development version; None in a release

version = ".".join(map(str, version_info)) + ("" if dev is None else f".dev{dev}")
copyright = "Copyright (c) 2026 the nengo-dl authors"
license = "MIT"
