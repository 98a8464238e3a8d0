/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Command line and configuration file. The file is JSON: the names of the migration parameters and
 * capabilities, and "control", "vmm-socket", "state-dir", "vms-per-user", "listen" (list), "tls-creds", "plaintext", "name",
 * "allow" (rules: allow.h). The command line wins.
 */
#include "daemon/server.h"

#define SETTINGS_RUN_DIR   "/run/htab-migrated"
#define SETTINGS_STATE_DIR "/var/lib/htab-migrated"
#define SETTINGS_FILE      "/etc/htab-migrated.json"
#define SETTINGS_TLS_DIR   "/etc/pki/htab-migrated"

/* 0 and *ret; 1 when --help or --version was answered; -errno with a sentence. */
int settings_parse(int argc, char **argv, struct config *ret, struct err *err);
