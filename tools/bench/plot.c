/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/bench/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

#define CONVERTER "rsvg-convert"
#define WIDTH     900.0
#define LEFT      80.0
#define RIGHT     860.0
#define PANEL     190.0 /* height of each of the two */
#define TOP_1     60.0
#define TOP_2     330.0
#define TICKS     4

extern char **environ;

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && strcmp(s + n - m, end) == 0;
}

static bool converter_is_there(void)
{
	const char *path = getenv("PATH");
	char *copy = path ? strdup(path) : NULL, *save, file[4096];
	bool found = false;

	for (char *d = copy ? strtok_r(copy, ":", &save) : NULL; d && !found;
		d = strtok_r(NULL, ":", &save)) {
		snprintf(file, sizeof(file), "%s/" CONVERTER, d);
		found = access(file, X_OK) == 0;
	}
	free(copy);
	return found;
}

/* Can a file of that name be written? One that is there keeps what it holds. */
static int probe(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd >= 0) {
		close(fd);
		unlink(path);
		return 0;
	}
	if (errno != EEXIST)
		return -errno;
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int bench_plot_check(const char *path, struct err *err)
{
	int r = ends_in(path, ".svg") || ends_in(path, ".png") ? probe(path) : 0;

	if (r < 0)
		return err_set(err, r, "--plot: cannot write %s: %s", path, strerror(-r));
	if (ends_in(path, ".svg"))
		return 0;
	if (!ends_in(path, ".png"))
		return err_set(
			err, -EINVAL, "--plot %s: the name should end in .svg or .png", path);
	if (!converter_is_there())
		return err_set(err, -ENOENT,
			"--plot %s: a PNG is made by " CONVERTER
			", which is not there: install librsvg2-bin, or plot to a .svg",
			path);
	return 0;
}

/* 1, 2 or 5 times a power of ten, at least v. */
static double round_up(double v)
{
	double p = pow(10, floor(log10(v > 0 ? v : 1)));

	if (v <= p)
		return p;
	return v <= 2 * p ? 2 * p : v <= 5 * p ? 5 * p : 10 * p;
}

static void put_escaped(FILE *f, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<': fputs("&lt;", f); break;
		case '>': fputs("&gt;", f); break;
		case '&': fputs("&amp;", f); break;
		case '"': fputs("&quot;", f); break;
		default: fputc((unsigned char)*text < 0x20 ? ' ' : *text, f); break;
		}
	}
}

static void number(char *buf, size_t len, double v)
{
	static const char *const units[] = {"", " k", " M", " G", " T"};
	unsigned u = 0;

	for (; v >= 1000 && u < 4; u++)
		v /= 1000;
	snprintf(buf, len, "%g%s", v, units[u]);
}

static void axes(FILE *f, double top, double max, double seconds, const char *name)
{
	char text[32];

	fprintf(f,
		"<rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" fill=\"none\" stroke=\"#888\"/>\n",
		LEFT, top, RIGHT - LEFT, PANEL);
	for (int i = 0; i <= TICKS; i++) {
		double y = top + PANEL - PANEL * i / TICKS;
		double x = LEFT + (RIGHT - LEFT) * i / TICKS;

		number(text, sizeof(text), max * i / TICKS);
		fprintf(f, "<line x1=\"%g\" y1=\"%g\" x2=\"%g\" y2=\"%g\" stroke=\"#ddd\"/>\n",
			LEFT, y, RIGHT, y);
		fprintf(f, "<text x=\"%g\" y=\"%g\" text-anchor=\"end\">%s</text>\n", LEFT - 6,
			y + 4, text);
		fprintf(f, "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">%.3g s</text>\n", x,
			top + PANEL + 16, seconds * i / TICKS);
	}
	fprintf(f, "<text x=\"%g\" y=\"%g\" font-weight=\"bold\">%s</text>\n", LEFT, top - 8, name);
}

/* What a pass turned out to hold. */
static uint64_t pass_total(const struct bench_measure *m, uint32_t pass)
{
	if (pass >= 1 && pass <= m->n_passes)
		return m->pass[pass - 1].valid + m->pass[pass - 1].invalid;
	return 0;
}

static double x_of(const struct bench_measure *m, uint64_t at, double seconds)
{
	return LEFT + (RIGHT - LEFT) * ((double)(at - m->start) / NS_PER_SEC) / seconds;
}

static void draw_remaining(FILE *f, const struct bench_measure *m, double seconds)
{
	double max = 1;

	for (size_t i = 0; i < m->n_passes; i++)
		max = fmax(max, (double)(m->pass[i].valid + m->pass[i].invalid));
	max = round_up(max);
	axes(f, TOP_1, max, seconds, "entries that remain in the pass");
	fputs("<polyline fill=\"none\" stroke=\"#1f6fb4\" points=\"", f);
	for (size_t i = 0; i < m->n_points; i++) {
		const struct bench_point *p = &m->point[i];
		uint64_t total = pass_total(m, p->pass);
		uint64_t left = total > p->pass_entries ? total - p->pass_entries : 0;

		if (p->at < m->start || p->at > m->end)
			continue;
		fprintf(f, "%.1f,%.1f ", x_of(m, p->at, seconds),
			TOP_1 + PANEL * (1 - (double)left / max));
	}
	fputs("\"/>\n", f);
	/* where each pass ended, as long as they can be told apart */
	for (size_t i = 0; i < m->n_passes && m->n_passes <= 100; i++) {
		double x = x_of(m, m->start + m->pass[i].start + m->pass[i].ns, seconds);

		fprintf(f,
			"<line class=\"pass\" x1=\"%.1f\" y1=\"%g\" x2=\"%.1f\" y2=\"%g\" stroke=\"#d88\"/>\n",
			x, TOP_1, x, TOP_1 + PANEL);
	}
}

static double rate_between(const struct bench_point *a, const struct bench_point *b)
{
	return b->at > a->at ? (double)(b->plain - a->plain) * NS_PER_SEC / (double)(b->at - a->at)
			     : 0;
}

static void draw_rate(FILE *f, const struct bench_measure *m, double seconds)
{
	double max = 1;

	for (size_t i = 1; i < m->n_points; i++)
		max = fmax(max, rate_between(&m->point[i - 1], &m->point[i]));
	max = round_up(max);
	axes(f, TOP_2, max, seconds, "table bytes a second");
	fputs("<polyline fill=\"none\" stroke=\"#2a8a3e\" points=\"", f);
	for (size_t i = 1; i < m->n_points; i++) {
		const struct bench_point *p = &m->point[i];

		if (p->at < m->start || p->at > m->end)
			continue;
		fprintf(f, "%.1f,%.1f ", x_of(m, p->at, seconds),
			TOP_2 + PANEL * (1 - rate_between(p - 1, p) / max));
	}
	fputs("\"/>\n", f);
}

static int write_svg(FILE *f, const struct bench_measure *m, const char *title)
{
	double seconds = fmax(bench_measure_seconds(m), 1e-6);

	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" height=\"560\" "
		"font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
		"<text x=\"%g\" y=\"24\" font-size=\"15\">",
		WIDTH, LEFT);
	put_escaped(f, title);
	fputs("</text>\n", f);
	draw_remaining(f, m, seconds);
	draw_rate(f, m, seconds);
	fputs("</svg>\n", f);
	return fflush(f) == 0 && !ferror(f) ? 0 : -EIO;
}

static int write_file(const char *path, const struct bench_measure *m, const char *title)
{
	FILE *f = fopen(path, "we");
	int r;

	if (!f)
		return -errno;
	r = write_svg(f, m, title);
	if (fclose(f) != 0 && r == 0)
		r = -errno;
	return r;
}

static int convert(const char *svg, const char *png, struct err *err)
{
	char *argv[] = {(char *)(uintptr_t)CONVERTER, (char *)(uintptr_t) "-o",
		(char *)(uintptr_t)png, (char *)(uintptr_t)svg, NULL};
	int status = 0;
	pid_t pid;
	int r = -posix_spawnp(&pid, CONVERTER, NULL, NULL, argv, environ);

	if (r < 0)
		return err_set(err, r, "cannot run " CONVERTER ": %s", strerror(-r));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(err, -EIO, CONVERTER " could not make %s", png);
	return 0;
}

int bench_plot_write(
	const char *path, const struct bench_measure *m, const char *title, struct err *err)
{
	bool png = ends_in(path, ".png");
	char *svg;
	int r;

	if (asprintf(&svg, png ? "%s.svg" : "%s", path) < 0)
		return err_set(err, -ENOMEM, "out of memory for a plot");
	r = write_file(svg, m, title);
	if (r < 0)
		err_set(err, r, "cannot write %s: %s", svg, strerror(-r));
	else if (png)
		r = convert(svg, path, err);
	if (png)
		unlink(svg);
	free(svg);
	return r;
}
