/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/htabctl/output.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"

int output_begin(const char *program)
{
	int closed = fd_open_standard();

	if (closed < 0 || !(closed & 1 << STDOUT_FILENO))
		return closed < 0 ? closed : 0;
	fprintf(stderr, "%s: standard output is closed: give it a file, or /dev/null\n", program);
	return -EBADF;
}

/* Of the first flush that failed: later ones may have nothing to write, and succeed. */
static int write_error;

bool output_flush(void)
{
	if (fflush(stdout) != 0 && !write_error)
		write_error = errno;
	if (ferror(stdout) && !write_error)
		write_error = EIO;
	return !write_error;
}

int output_end(const char *program)
{
	output_flush();
	if (fclose(stdout) != 0 && !write_error)
		write_error = errno;
	if (!write_error)
		return 0;
	fprintf(stderr, "%s: cannot write the output: %s\n", program, strerror(write_error));
	return -EIO;
}

static const char *scaled(char *buf, uint64_t n, uint64_t step, const char *const *units)
{
	double v = (double)n;
	size_t u = 0;

	/* 999.95 would be shown as 1000.0 */
	while (v >= (double)step - 0.05 && units[u + 1]) {
		v /= (double)step;
		u++;
	}
	if (u == 0)
		snprintf(buf, OUTPUT_TEXT, "%" PRIu64 "%s", n, units[0]);
	else
		snprintf(buf, OUTPUT_TEXT, "%.1f%s", v, units[u]);
	return buf;
}

const char *output_bytes(char buf[static OUTPUT_TEXT], uint64_t bytes)
{
	static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", NULL};

	return scaled(buf, bytes, 1024, units);
}

const char *output_count(char buf[static OUTPUT_TEXT], uint64_t n)
{
	static const char *const units[] = {"", " k", " M", " G", " T", NULL};

	return scaled(buf, n, 1000, units);
}

const char *output_time(char buf[static OUTPUT_TEXT], uint64_t ms)
{
	if (ms < 1000)
		snprintf(buf, OUTPUT_TEXT, "%" PRIu64 " ms", ms);
	else if (ms < 60000)
		snprintf(buf, OUTPUT_TEXT, "%" PRIu64 ".%" PRIu64 " s", ms / 1000, ms % 1000 / 100);
	else
		snprintf(buf, OUTPUT_TEXT, "%" PRIu64 " min %" PRIu64 " s", ms / 60000,
			ms % 60000 / 1000);
	return buf;
}

/* --- tables ------------------------------------------------------------------------------- */

struct table {
	const struct table_column *columns;
	size_t n_columns;
	char **cells;
	size_t n_cells;
	size_t width[TABLE_COLUMNS];
};

struct table *table_new(const struct table_column *columns)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->columns = columns;
	for (; columns[t->n_columns].head; t->n_columns++) {
		assert(t->n_columns < TABLE_COLUMNS);
		t->width[t->n_columns] = strlen(columns[t->n_columns].head);
	}
	return t;
}

void table_cell(struct table *t, const char *fmt, ...)
{
	size_t column = t->n_cells % t->n_columns;
	char **cells, *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	cells = realloc(t->cells, (t->n_cells + 1) * sizeof(*cells));
	if (n < 0 || !cells)
		abort(); /* a short-lived program without memory for a line of text */
	t->cells = cells;
	t->cells[t->n_cells++] = text;
	if ((size_t)n > t->width[column])
		t->width[column] = (size_t)n;
}

static void print_cell(const struct table *t, size_t column, const char *text, FILE *to)
{
	bool last = column + 1 == t->n_columns;
	int width = (int)t->width[column];

	if (t->columns[column].right)
		fprintf(to, "%*s", width, text);
	else
		fprintf(to, "%-*s", last ? 0 : width, text);
	fputs(last ? "\n" : "  ", to);
}

void table_print(const struct table *t, FILE *to)
{
	for (size_t i = 0; i < t->n_columns; i++)
		print_cell(t, i, t->columns[i].head, to);
	assert(t->n_cells % t->n_columns == 0);
	for (size_t i = 0; i < t->n_cells; i++)
		print_cell(t, i % t->n_columns, t->cells[i], to);
}

struct table *table_free(struct table *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
	return NULL;
}

void output_pair(FILE *to, const char *head, const char *fmt, ...)
{
	va_list ap;

	fprintf(to, "  %-15s ", head);
	va_start(ap, fmt);
	vfprintf(to, fmt, ap);
	va_end(ap);
	fputc('\n', to);
}

/* --- JSON --------------------------------------------------------------------------------- */

void output_json(struct json_object *o)
{
	puts(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	output_flush();
}

struct json_object *member(struct json_object *o, const char *name)
{
	struct json_object *v;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, name, &v))
		return NULL;
	return v;
}

const char *member_text(struct json_object *o, const char *name, const char *otherwise)
{
	struct json_object *v = member(o, name);

	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : otherwise;
}

int64_t member_int(struct json_object *o, const char *name, int64_t otherwise)
{
	struct json_object *v = member(o, name);

	return json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double)
		? json_object_get_int64(v)
		: otherwise;
}

bool member_bool(struct json_object *o, const char *name)
{
	struct json_object *v = member(o, name);

	return json_object_is_type(v, json_type_boolean) && json_object_get_boolean(v);
}
