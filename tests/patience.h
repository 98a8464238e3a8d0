/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Comes before every file of a test program (tests/local.mk): how long one test may take, unless
 * its case says more or the environment does. Check's own 4 s are too few on a machine that is
 * busy; a test that hangs is found all the same.
 */
#include <stdlib.h>

__attribute__((constructor)) static void patience_for_each_test(void)
{
	setenv("CK_DEFAULT_TIMEOUT", "120", 0);
}
