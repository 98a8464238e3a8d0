# tests/: see HACKING.md
