# proto/: see HACKING.md
