/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets of the VMM socket and of htabsock: what is taken packs to the bytes that it was. */
#include <assert.h>
#include <string.h>

#include "proto/vmm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void same(const uint8_t *data, size_t len, const uint8_t *buf, int n)
{
	assert(n > 0 && (size_t)n == len);
	assert(memcmp(buf, data, len) == 0);
}

/* The same of what may have a text, which was made harmless. */
static void same_text(const uint8_t *data, size_t len, const char *text, const uint8_t *buf, int n)
{
	if (!*text) {
		same(data, len, buf, n);
		return;
	}
	assert(text_is_clean(text));
	assert(n > 0 && (size_t)n <= len);
}

static void packets(const uint8_t *data, size_t len)
{
	static uint8_t buf[VMM_PACKET_MAX];
	static struct vmm_register reg;
	static struct vmm_request req;
	struct vmm_event event;
	struct vmm_reply reply;
	unsigned taken = 0;
	uint32_t serial;
	uint16_t type;

	if (len > VMM_PACKET_MAX || vmm_unpack_header(data, len, &type, &serial) < 0)
		return;
	if (vmm_unpack_register(data, len, &reg) == 0) {
		same(data, len, buf, vmm_pack_register(&reg, buf));
		taken++;
	}
	if (vmm_unpack_event(data, len, &event) == 0) {
		same_text(data, len, event.text, buf, vmm_pack_event(&event, buf));
		taken++;
	}
	if (vmm_unpack_reply(data, len, &reply) == 0) {
		same_text(data, len, reply.text, buf, vmm_pack_reply(serial, &reply, buf));
		taken++;
	}
	if (vmm_unpack_request(data, len, &req) == 0) {
		same_text(data, len, req.text, buf, vmm_pack_request(&req, buf));
		taken++;
	}
	assert(taken <= 1); /* no packet has two meanings */
	assert(taken == 0 || strcmp(vmm_type_name(type), "?"));
}

static void htabsock(const uint8_t *data, size_t len)
{
	enum htabsock_op op;
	uint32_t count;
	int32_t result;

	if (htabsock_unpack_request(data, len, &op, &count) == 0) {
		assert(count <= HTABSOCK_RECORDS_MAX && len <= HTABSOCK_PACKET_MAX);
		assert(len == HTABSOCK_REQ_SIZE + (op == HTABSOCK_WRITE ? count : 0));
	}
	if (htabsock_unpack_answer(data, len, HTABSOCK_READ, 4096, &result) == 0) {
		assert(result <= 4096);
		assert(len == HTABSOCK_ANS_SIZE + (size_t)(result > 0 ? result : 0));
	}
	if (htabsock_unpack_answer(data, len, HTABSOCK_WRITE, 4096, &result) == 0)
		assert(result <= 4096 && len == HTABSOCK_ANS_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	packets(data, len);
	htabsock(data, len);
	return 0;
}
