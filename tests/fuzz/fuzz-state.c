/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A machine-state image: taken apart, named for a person, put together again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/devstate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char text[STATE_NAME_MAX], value[STATE_SHOW_MAX];
	struct state_elem elem;
	struct state_blob blob;
	struct state_device device;
	struct state_tce tce;
	size_t taken = 0;
	struct unpack u;
	struct pack k;
	uint8_t *copy = malloc(len + 1);
	uint64_t v;
	int r;

	assert(copy);
	pack_init(&k, copy, len);
	unpack_init(&u, data, len);
	while ((r = state_next(&u, &elem)) > 0) {
		assert(elem.value >= data && elem.size <= (size_t)(data + len - elem.value));
		state_describe(&elem, text);
		assert(memchr(text, 0, sizeof(text)) && text[0]);
		state_name(&elem, text);
		assert(memchr(text, 0, sizeof(text)) && text[0]);
		state_show(&elem, value);
		assert(memchr(value, 0, sizeof(value)) && value[0]);
		if (state_value(&elem, &v) == 0)
			assert(elem.size <= 8);
		if (state_blob(&elem, &blob) == 0)
			assert(state_blob_name_ok(blob.name) && blob.size < elem.size);
		if (state_device(&elem, &device) == 0)
			assert(state_device_name_ok(device.name) &&
				device.data + device.size == elem.value + elem.size);
		if (state_tce(&elem, &tce) == 0)
			assert(tce.first <= tce.entries && tce.count <= tce.entries - tce.first);
		state_put(&k, elem.kind, elem.vcpu, elem.id, elem.value, elem.size);
		taken += STATE_HDR_SIZE + elem.size;
	}
	assert(r < 0 || taken == len);
	assert(pack_end(&k) == 0 && k.len == taken);
	assert(memcmp(copy, data, taken) == 0);
	free(copy);
	return 0;
}
