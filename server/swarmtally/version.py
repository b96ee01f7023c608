"""The version, in one place: read by the build, the server's identity and `swarmtally --version`."""

__version__ = "0.1.0"
