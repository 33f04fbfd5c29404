"""``python -m ebmphys``, the command line where none is installed."""

from ebmphys.cli import entry

entry()
