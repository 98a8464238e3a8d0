/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/integration/scene.h"

#include <string.h>

#include "common/clock.h"

void scene_new_with(struct scene *s, const char *limits)
{
	s->h = harness_new();
	s->host = host_start(s->h, "a", &(struct host_opts){.limits = limits});
	fake_vmm_new(&s->vmm, s->host, SCENE_VM);
	fake_dest_new(&s->dest, s->host, &s->vmm);
}

void scene_new(struct scene *s)
{
	scene_new_with(s, NULL);
}

void scene_free(struct scene *s)
{
	fake_dest_free(&s->dest);
	fake_vmm_free(&s->vmm);
	harness_free(s->h);
}

void scene_migrate(struct scene *s)
{
	host_do(s->host, "migrate", "{'vm': '" SCENE_VM "', 'uri': '%s'}", s->dest.uri);
	fake_dest_join(&s->dest);
}

void scene_to_end_with(struct scene *s, const char *limits)
{
	scene_new_with(s, limits);
	fake_vmm_register(&s->vmm);
	scene_migrate(s);
	fake_dest_end(&s->dest);
}

void scene_to_end(struct scene *s)
{
	scene_to_end_with(s, NULL);
}

void scene_vmm_dies(struct scene *s)
{
	fake_vmm_kill(&s->vmm);
	json_object_put(host_event(s->host, "VM_GONE", SCENE_VM, NULL, NULL));
}

void scene_vmm_is_closing(struct scene *s)
{
	uint64_t deadline = harness_deadline();
	struct json_object *vm;

	while ((vm = host_vm(s->host, SCENE_VM))) {
		json_object_put(vm);
		h_check(s->h, clock_ns() < deadline, "the end of the VMM is not noticed");
	}
}

void scene_say(struct scene *s, enum wire_type type)
{
	talk_session(&s->dest.control, type, &s->dest.session);
}

void scene_commits(struct scene *s)
{
	talk_expect(&s->dest.control, WIRE_COMMIT);
	scene_say(s, WIRE_RUNNING);
	talk_expect(&s->dest.control, WIRE_CLOSED);
	host_status(s->host, SCENE_VM, "completed");
}

bool scene_error_says(struct scene *s, const char *words)
{
	struct json_object *q = host_query(s->host, SCENE_VM);
	bool says = strstr(member_text(q, "error-desc", ""), words);

	json_object_put(q);
	return says;
}
