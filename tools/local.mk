# tools/: see HACKING.md
