# common/: see HACKING.md
