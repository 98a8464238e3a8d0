/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/session/agreed.h"

#include <assert.h>
#include <string.h>

void agreed_wish(struct agreed *a, const struct params *p, enum mmu_kind mmu)
{
	bool booke = mmu == MMU_BOOKE;

	assert(!a->settled);
	*a = (struct agreed){
		/* codec HPTE knows HPTEs alone */
		.codec = booke && p->codec == WIRE_CODEC_HPTE ? WIRE_CODEC_ZSTD : p->codec,
		.channels = booke ? 1 : (uint32_t)p->channels,
		.verify = p->verify,
		.recover = p->recover,
		.zstd_level = (int)p->zstd_level,
		.bolted_only = p->bolted_only,
		.pause_before_switchover = p->pause_before_switchover,
		.auto_converge = p->auto_converge,
	};
	memcpy(a->tls_creds, p->tls_creds, sizeof(a->tls_creds));
	memcpy(a->tls_hostname, p->tls_hostname, sizeof(a->tls_hostname));
}

void agreed_settle(struct agreed *a, uint64_t features)
{
	assert(!a->settled);
	a->features = features;
	a->recover = a->recover && agreed_can_resume(a);
	if (!(features & WIRE_FEATURE_CHANNELS))
		a->channels = 1;
	a->settled = true;
}

void agreed_accept(struct agreed *a, const struct wire_open *open, uint64_t features)
{
	assert(!a->settled);
	*a = (struct agreed){
		.settled = true,
		.features = features,
		.codec = open->codec,
		.channels = open->channels,
		.verify = open->flags & WIRE_OPEN_VERIFY,
		.recover = open->flags & WIRE_OPEN_RECOVER,
	};
}

bool agreed_can_resume(const struct agreed *a)
{
	return a->features & WIRE_FEATURE_RECOVER;
}

uint32_t agreed_open_flags(const struct agreed *a)
{
	assert(a->settled);
	return (a->verify ? WIRE_OPEN_VERIFY : 0) | (a->recover ? WIRE_OPEN_RECOVER : 0);
}
