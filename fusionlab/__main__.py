"""`python -m fusionlab` is the `fusionlab` command."""

from fusionlab.cli import main

main()
