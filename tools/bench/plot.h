/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A picture of a test: entries that remain in each pass, and the rate, over time. SVG is written
 * here; a PNG is made from it by rsvg-convert(1). Main thread.
 */
#include "common/err.h"
#include "tools/bench/measure.h"

/* Can that be drawn? By its name; for .png the tool has to be there. 0, or an error. */
int bench_plot_check(const char *path, struct err *err);
/* title is one line of text. The file is replaced. */
int bench_plot_write(
	const char *path, const struct bench_measure *m, const char *title, struct err *err);
