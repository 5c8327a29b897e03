"""Real programs, unchanged, with ustcp's TCP in place of the kernel's: `make test-programs`, docs/programs.md."""
