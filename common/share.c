/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/share.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#include "proto/pack.h"

uint64_t share_owner(const struct sockaddr *sa)
{
	const struct sockaddr_in6 *in6 = (const void *)sa;
	const struct sockaddr_in *in = (const void *)sa;

	if (sa->sa_family == AF_INET)
		return UINT64_C(0xffff) << 32 | ntohl(in->sin_addr.s_addr);
	if (sa->sa_family != AF_INET6)
		return 0;
	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		return UINT64_C(0xffff) << 32 | be32_get(in6->sin6_addr.s6_addr + 12);
	return be64_get(in6->sin6_addr.s6_addr);
}

unsigned share_victim(const uint64_t *owners, unsigned n)
{
	unsigned victim = 0, most = 0;

	assert(n > 0);
	for (unsigned i = 0; i < n; i++) {
		unsigned has = 0;

		for (unsigned k = 0; k < n; k++)
			has += owners[k] == owners[i];
		if (has > most) {
			most = has;
			victim = i;
		}
	}
	return victim;
}
