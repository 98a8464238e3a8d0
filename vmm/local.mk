# vmm/: see HACKING.md
