# docs/: see HACKING.md

EXTRA_DIST += docs/protocol.md docs/architecture.md
