/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Places that strangers fill: who has to make room when there is none left. An owner is a number:
 * a user's id, or whose address it is. Pure functions; any thread; libc alone.
 */
#include <stdint.h>
#include <sys/socket.h>

/*
 * Whose a connection is, by where it comes from: an IPv4 address, an IPv6 network of 64 bits, which
 * is what one host is given, or, for everything else, 0.
 */
uint64_t share_owner(const struct sockaddr *sa);

/*
 * n (not 0) owners in the order in which they came: the place of the one that goes. It is the
 * oldest of the owner who has most, so that one who fills all places is in nobody's way but his
 * own.
 */
unsigned share_victim(const uint64_t *owners, unsigned n);
