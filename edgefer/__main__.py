"""`python -m edgefer`: the command line, where the script `edgefer` is not on the path."""

from edgefer.cli.main import main

raise SystemExit(main())
