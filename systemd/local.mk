# systemd/: see HACKING.md
