/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/pack.h"
#include "vmm/kvmvm/kvmvm.h"

#define HEADER_SIZE 16u
#define ENTRY_SIZE  (4u + KVMVM_BLOB_PAGE)

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, KVMVM_BLOB_PAGE - 1) == 0;
}

int kvmvm_memory_save(const void *memory, size_t size, struct htabvmm_state *state)
{
	const uint8_t *m = memory;
	uint32_t all = (uint32_t)(size / KVMVM_BLOB_PAGE), n = 0;
	uint32_t *numbers = calloc(all, sizeof(*numbers));
	uint8_t *blob = NULL;
	struct pack k;
	size_t len;
	int r;

	if (!numbers)
		return -ENOMEM;
	for (uint32_t i = 0; i < all; i++)
		if (!is_zero(m + (size_t)i * KVMVM_BLOB_PAGE))
			numbers[n++] = i;
	len = HEADER_SIZE + (size_t)n * ENTRY_SIZE;
	blob = malloc(len);
	if (!blob) {
		free(numbers);
		return -ENOMEM;
	}
	pack_init(&k, blob, len);
	pack_u32(&k, KVMVM_BLOB_PAGE);
	pack_u64(&k, size);
	pack_u32(&k, n);
	for (uint32_t i = 0; i < n; i++) {
		pack_u32(&k, numbers[i]);
		pack_bytes(&k, m + (size_t)numbers[i] * KVMVM_BLOB_PAGE, KVMVM_BLOB_PAGE);
	}
	r = pack_end(&k);
	if (r == 0)
		r = htabvmm_state_blob(state, KVMVM_BLOB_NAME, KVMVM_BLOB_VERSION, blob, k.len);
	free(blob);
	free(numbers);
	return r;
}

/* Every entry inside the memory, in ascending order, none missing and none too many. */
static int check(
	const void *data, size_t data_size, size_t size, uint32_t *ret_pages, struct err *e)
{
	static const char malformed[] = "the guest's memory came in a malformed blob";
	struct unpack u;
	uint64_t next = 0, theirs;
	uint32_t pages, page;

	unpack_init(&u, data, data_size);
	page = unpack_u32(&u);
	theirs = unpack_u64(&u);
	pages = unpack_u32(&u);
	if (u.bad || page != KVMVM_BLOB_PAGE)
		return err_set(e, -EBADMSG, "%s", malformed);
	if (theirs != size)
		return err_set(e, -EINVAL,
			"the guest has %llu MiB of memory and this VM %zu: start it with --memory %llu",
			(unsigned long long)theirs >> 20, size >> 20,
			(unsigned long long)theirs >> 20);
	if (pages > size / KVMVM_BLOB_PAGE || u.left != (size_t)pages * ENTRY_SIZE)
		return err_set(e, -EBADMSG, "%s", malformed);
	for (uint32_t i = 0; i < pages; i++) {
		uint32_t number = unpack_u32(&u);

		if (number < next || number >= size / KVMVM_BLOB_PAGE)
			return err_set(e, -EBADMSG, "%s", malformed);
		next = (uint64_t)number + 1;
		unpack_bytes(&u, KVMVM_BLOB_PAGE);
	}
	*ret_pages = pages;
	return 0;
}

int kvmvm_memory_load(void *memory, size_t size, uint32_t version, const void *data,
	size_t data_size, struct err *e)
{
	uint8_t *m = memory;
	struct unpack u;
	uint32_t pages = 0;
	int r;

	if (version != KVMVM_BLOB_VERSION)
		return err_set(e, -ENOTSUP, "the guest's memory came in version %u, known is %u",
			version, KVMVM_BLOB_VERSION);
	r = check(data, data_size, size, &pages, e);
	if (r < 0)
		return r;
	/* Pages that are not in the blob are zero; they need no host memory. */
	if (madvise(m, size, MADV_REMOVE) < 0)
		memset(m, 0, size);
	unpack_init(&u, data, data_size);
	unpack_bytes(&u, HEADER_SIZE);
	for (uint32_t i = 0; i < pages; i++) {
		uint8_t *page = m + (size_t)unpack_u32(&u) * KVMVM_BLOB_PAGE;

		unpack_copy(&u, page, KVMVM_BLOB_PAGE);
		/* There may be code in it. */
		__builtin___clear_cache((char *)page, (char *)page + KVMVM_BLOB_PAGE);
	}
	return 0;
}
