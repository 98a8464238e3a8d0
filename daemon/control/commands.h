/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The commands of the control socket: docs/control.md in code. opaque is the struct server.
 */
#include "daemon/qmp/qmp.h"

extern const struct qmp_command commands[];
