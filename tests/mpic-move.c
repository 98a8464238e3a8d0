/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/mpic-move.h"

#include <errno.h>
#include <string.h>

#include "vmm/device/recipe.h"

#define IMAGE_MAX  (64u << 10)
#define SPVE       0x10e0u
#define IPIVPR(i)  (0x10a0u + (i)*0x10u)
#define IVPR(i)    (0x10000u + (i)*0x20u)
#define IDR(i)     (0x10010u + (i)*0x20u)
#define CTPR(cpu)  (0x20080u + (cpu)*0x1000u)
#define IVPR_MASK  0x80000000u
#define IVPR_READS 0xbfffffffu /* without the activity, which follows from the rest */
#define ACTIVE     20u         /* a source whose input is up */

/* What each register is given: attribute n of all, false past the end. */
static bool pattern(
	unsigned n, unsigned sources, unsigned vcpus, uint64_t *ret_attr, uint32_t *ret_value)
{
	if (n == 0) {
		*ret_attr = SPVE;
		*ret_value = 0xabcd;
	} else if (n < 5) {
		*ret_attr = IPIVPR(n - 1);
		*ret_value = IVPR_MASK | n << 16 | (0x100 + n);
	} else if (n < 5 + 2 * sources) {
		unsigned i = (n - 5) / 2;

		/* The priority is below the vCPUs': nothing is delivered. */
		*ret_attr = n % 2 ? IDR(i) : IVPR(i);
		*ret_value = n % 2 ? 1u << i % vcpus
				   : (i == ACTIVE ? 0 : IVPR_MASK) | (i % 7) << 16 | (0x200 + i);
	} else if (n < 5 + 2 * sources + vcpus) {
		*ret_attr = CTPR(n - 5 - 2 * sources);
		*ret_value = 8 + n % 4;
	} else {
		return false;
	}
	return true;
}

static int fill(const struct mpic *m, unsigned sources, const struct kvm_dev_io *io, struct err *e)
{
	uint32_t value, one = 1;
	uint64_t attr;
	int r;

	for (unsigned n = 0; pattern(n, sources, m->n_vcpus, &attr, &value); n++) {
		r = io->set_attr(m->fd, RECIPE_MPIC_REGISTER, attr, &value);
		if (r < 0)
			return err_set(e, r, "the MPIC's register %#llx cannot be set: %s",
				(unsigned long long)attr, strerror(-r));
	}
	r = io->set_attr(m->fd, RECIPE_MPIC_IRQ_ACTIVE, ACTIVE, &one);
	return r < 0 ? err_set(e, r, "the MPIC's input cannot be set: %s", strerror(-r)) : 0;
}

static int compare(const struct mpic *m, const char *which, unsigned sources,
	const struct kvm_dev_io *io, struct err *e)
{
	uint32_t value, is = 0;
	uint64_t attr;
	int r;

	for (unsigned n = 0; pattern(n, sources, m->n_vcpus, &attr, &value); n++) {
		r = io->get_attr(m->fd, RECIPE_MPIC_REGISTER, attr, &is);
		if (r < 0 || (is & IVPR_READS) != (value & IVPR_READS))
			return err_set(e, r < 0 ? r : -EILSEQ,
				"register %#llx of the %s MPIC is %#x and should be %#x",
				(unsigned long long)attr, which, is, value);
	}
	for (unsigned i = 0; i < sources; i++) {
		r = io->get_attr(m->fd, RECIPE_MPIC_IRQ_ACTIVE, i, &is);
		if (r < 0 || is != (i == ACTIVE))
			return err_set(e, r < 0 ? r : -EILSEQ, "input %u of the %s MPIC is %u", i,
				which, is);
	}
	return 0;
}

static int add(struct lib_devices *l, const struct mpic *m, unsigned sources, struct err *e)
{
	const struct htabvmm_device d = {
		.size = sizeof(d),
		.name = "mpic",
		.fd = m->fd,
		.recipe = htabvmm_recipe("mpic"),
		.source_count = sources,
		.vcpu_fds = m->vcpus,
		.vcpus = m->n_vcpus,
	};
	int r = devices_add(l, &d, NULL, 0);

	return r < 0 ? err_set(e, r, "the MPIC cannot be added: %s", strerror(-r)) : 0;
}

static int transfer(struct lib_devices *a, struct lib_devices *b, struct err *e)
{
	static uint8_t image[IMAGE_MAX];
	struct state_elem elem;
	struct unpack u;
	struct pack k;
	int r;

	pack_init(&k, image, sizeof(image));
	r = devices_hold(a, e);
	if (r == 0)
		r = devices_save(a, &k, e);
	if (r == 0 && pack_end(&k) < 0)
		r = err_set(e, -EMSGSIZE, "the MPIC's values take more than %u bytes", IMAGE_MAX);
	if (r < 0)
		return r;
	devices_check_begin(b);
	unpack_init(&u, image, k.len);
	while (r == 0 && (r = state_next(&u, &elem)) > 0)
		r = devices_check(b, &elem, e);
	if (r == 0)
		r = devices_check_end(b, e);
	if (r == 0)
		r = devices_load(b, e);
	return r < 0 ? r : devices_release(a, e);
}

int mpic_move(const struct mpic *from, const struct mpic *to, unsigned sources,
	const struct kvm_dev_io *io, struct err *e)
{
	const struct kvm_dev_io *use = io ? io : &kvm_dev_io;
	struct lib_devices a = {.io = io}, b = {.io = io};
	int r = fill(from, sources, use, e);

	if (r == 0)
		r = compare(from, "source's", sources, use, e);
	if (r == 0)
		r = add(&a, from, sources, e);
	if (r == 0)
		r = add(&b, to, sources, e);
	if (r == 0)
		r = transfer(&a, &b, e);
	if (r == 0)
		r = compare(to, "destination's", sources, use, e);
	if (r == 0)
		r = compare(from, "source's", sources, use, e);
	devices_free(&a);
	devices_free(&b);
	return r;
}
