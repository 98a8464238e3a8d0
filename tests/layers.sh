#!/bin/bash
# Who may include whom.
#
# usage: layers.sh [DIRECTORY]
#
# DIRECTORY/layers has a line "ROOM: ROOM..." for each room, the directories in DIRECTORY ("." are
# the files right in it): what may be included besides itself; "*" is everything. Each #include
# of a file of another room that the line does not name is printed. Lines "not yet: FILE HEADER" let
# one off, and are printed themselves once they are no longer needed.
set -euo pipefail
dir=${1-}
dir=${dir:+$dir/}
find ${dir:-common daemon proto tools vmm} -name '*.[chS]' -print0 | sort -z |
	xargs -0 awk -v dir="$dir" '
	function room(path) { # of a path below dir
		return path ~ "/" ? substr(path, 1, index(path, "/") - 1) : "."
	}
	BEGIN {
		while ((getline line <(dir "layers")) > 0) {
			n = split(line, word, /[: ]+/)
			if (line ~ /^not yet: /)
				later[word[3] " " word[4]] = 1
			else if (line !~ /^#/)
				for (known[word[1]] = 1; n > 1; n--)
					may[word[1], word[n]] = 1
		}
	}
	/^#include "/ && index($2, "\"" dir) == 1 {
		from = room(substr(FILENAME, length(dir) + 1))
		to = room(substr($2, length(dir) + 2))
		pair = substr(FILENAME, length(dir) + 1) " " substr($2, length(dir) + 2, length($2) - length(dir) - 2)
		if (!(from in known)) {
			if (!said[from]++)
				print dir "layers: it has no room " from
		} else if (dir == "" && !(to in known)) {
			next # config.h
		} else if (from != to && !((from, to) in may) && !((from, "*") in may)) {
			if (pair in later)
				needed[pair] = 1
			else
				print FILENAME ": includes " $2 ": " from " may not, by " dir "layers"
		}
	}
	END {
		for (pair in later)
			if (!(pair in needed))
				print dir "layers: \"not yet: " pair "\" is not needed any more"
	}'
