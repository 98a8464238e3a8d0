/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest saved in a file and loaded from it: what arrives, what is refused, what is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/integration/saving.h"

START_TEST(saved_and_loaded)
{
	struct saving s = saving_new(&(struct saving_opts){
		.source = {.order = 20, .vcpus = 2, .rate = 20000, .dump = true},
	});
	struct guest *loaded;

	saving_save(&s);
	saving_saved(&s);
	loaded = saving_load(&s, &(struct guest_opts){.order = 20, .vcpus = 2, .dump = true});
	saving_loaded(&s, loaded);
	guest_stop(loaded);
	guest_dumps_equal(s.source, loaded);
	saving_free(&s);
}
END_TEST

int main(void)
{
	TCase *tc;
	Suite *s = harness_suite("save", &tc);

	harness_add(tc, saved_and_loaded);
	return harness_main(s);
}
