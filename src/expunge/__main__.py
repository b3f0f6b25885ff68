"""``python -m expunge`` is ``expunge``: what launchers of several processes start."""

from expunge.cli import main

main()
