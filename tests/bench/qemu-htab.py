#!/usr/bin/env python3
"""Time QEMU's own migration of a hashed page table.

usage: qemu-htab.py KERNEL INITRD CONSOLE-LOG

Two QEMUs on this machine, TLS 1.3 (PSK) between them, a Linux guest with 4 GiB and a hashed page table
under emulation. INITRD's /init says "MEASURE ME" on the console when its table is as it shall be;
then the guest is stopped and moved. Prints one JSON object: the seconds that the source spent in
the section spapr/htab, and the number of entries of the table.
"""
import json
import os
import re
import secrets
import select
import socket
import subprocess
import sys
import tempfile
import time

MEMORY = 4 << 30
ENTRIES = MEMORY // 128 // 16  # spapr_hpt_shift_for_ramsize(): a 128th of the memory
BOOT_SECONDS = 600
MOVE_SECONDS = 300


class Qemu:
    def __init__(self, directory, name, kernel, initrd, *extra):
        self.trace = os.path.join(directory, name + ".trace")
        sock = os.path.join(directory, name + ".qmp")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(sock)
        listener.listen(1)
        with open(self.trace, "w") as trace:
            self.process = subprocess.Popen(
                ["qemu-system-ppc64", "-M", "pseries,x-vof=on", "-accel", "tcg,thread=multi",
                 "-smp", "2", "-m", str(MEMORY >> 20), "-nodefaults", "-nographic", "-monitor",
                 "none", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd, "-append",
                 "console=hvc0 disable_radix quiet", "-qmp", f"unix:{sock}", *extra],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=trace)
        listener.settimeout(60)
        self.qmp = listener.accept()[0].makefile("rw")
        listener.close()
        self.qmp.readline()
        self.run("qmp_capabilities")

    def run(self, command, **arguments):
        self.qmp.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.qmp.flush()
        while True:
            answer = json.loads(self.qmp.readline())
            if "error" in answer:
                sys.exit(f"QEMU refuses {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def wait_event(self, name, member, values):
        end = time.monotonic() + MOVE_SECONDS
        while time.monotonic() < end:
            line = self.qmp.readline()
            if not line:
                break
            event = json.loads(line)
            if event.get("event") == name and event["data"].get(member) in values:
                return event["data"][member]
        sys.exit(f"QEMU sent no {name}")

    def wait_console(self, words, log):
        end = time.monotonic() + BOOT_SECONDS
        out = self.process.stdout
        text = b""
        while words not in text:
            left = end - time.monotonic()
            if left <= 0 or not select.select([out], [], [], left)[0]:
                sys.exit(f"the guest did not boot in {BOOT_SECONDS} s")
            data = os.read(out.fileno(), 65536)
            if not data:
                sys.exit("QEMU ended")
            log.write(data)
            log.flush()
            text = (text + data)[-4096:]

    def end(self):
        self.process.kill()
        self.process.wait()


def section_seconds(path, section):
    seconds, since = 0.0, None
    with open(path, errors="replace") as lines:
        for line in lines:
            m = re.match(r"\d+@([\d.]+):savevm_section_(start|end) (\S+), section_id", line)
            if not m or m[3] != section:
                continue
            if m[2] == "start":
                since = float(m[1])
            elif since is not None:
                seconds += float(m[1]) - since
                since = None
    return seconds


def measure(directory, kernel, initrd, log):
    with open(os.path.join(directory, "keys.psk"), "w") as keys:
        keys.write("qemu:" + secrets.token_hex(32) + "\n")
    creds = "tls-creds-psk,id=tls0,dir=" + directory
    qemus = []
    try:
        source = Qemu(directory, "a", kernel, initrd, "-object",
                      creds + ",endpoint=client,username=qemu", "-trace", "savevm_section_start",
                      "-trace", "savevm_section_end", "-msg", "timestamp=on")
        qemus.append(source)
        destination = Qemu(directory, "b", kernel, initrd, "-incoming", "defer", "-object",
                           creds + ",endpoint=server")
        qemus.append(destination)
        source.wait_console(b"MEASURE ME", log)
        for q in qemus:
            q.run("migrate-set-parameters", **{"tls-creds": "tls0", "max-bandwidth": 8 << 30})
            q.run("migrate-set-capabilities",
                  capabilities=[{"capability": "events", "state": True}])
        uri = "unix:" + os.path.join(directory, "migrate")
        destination.run("migrate-incoming", uri=uri)
        source.run("stop")
        source.run("migrate", uri=uri)
        if source.wait_event("MIGRATION", "status", ("completed", "failed")) != "completed":
            sys.exit("QEMU's migration failed")
    finally:
        for q in qemus:
            q.end()
    return section_seconds(source.trace, "spapr/htab")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as directory, open(sys.argv[3], "wb") as log:
        seconds = measure(directory, sys.argv[1], sys.argv[2], log)
    if seconds <= 0:
        sys.exit("QEMU's trace has no section spapr/htab")
    print(json.dumps({"seconds": round(seconds, 4), "entries": ENTRIES}))


main()
