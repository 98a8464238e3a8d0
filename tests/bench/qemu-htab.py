#!/usr/bin/env python3
"""Time QEMU's own migration of a hashed page table.

usage: qemu-htab.py KERNEL INITRD CONSOLE-LOG TABLE

Two QEMUs on this machine, TLS 1.3 (PSK) between them, a Linux guest with 4 GiB and a hashed page
table under emulation, whose pages are of 4 KiB. INITRD's /init says "MEASURE ME" on the console when its
table is as it shall be; then the guest is stopped. Its migration stream is read once by ourselves, without
TLS, and the table in it is written to TABLE, as htab-bench --hpt takes it. It runs for a moment
(its programs all sleep), and then it is moved.
Prints one JSON object: the seconds that the source spent in the section spapr/htab when it was moved;
the bytes of that section, which are records as KVM's; and how many entries of the table are valid.
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
BOOT_SECONDS = 120
MOVE_SECONDS = 300


class Stream:
    """QEMU's migration stream, up to the end of the page table. docs/devel/migration.rst,
    migration/savevm.c, migration/ram.c, hw/ppc/spapr.c of QEMU 7.2."""
    START, PART, END, FULL, CONFIGURATION, FOOTER = 1, 2, 3, 4, 7, 0x7e
    ZERO, SIZES, PAGE, EOS, CONTINUE = 2, 4, 8, 0x10, 0x20  # flags in the low bits of an address

    def __init__(self, file):
        self.file = file
        self.table = bytearray()
        self.valid = self.bytes = 0

    def take(self, n):
        data = self.file.read(n)
        if len(data) != n:
            sys.exit("QEMU's migration stream ends too early")
        return data

    def number(self, n):
        return int.from_bytes(self.take(n), "big")

    def text(self):
        return self.take(self.number(1)).decode()

    def ram(self):
        while True:
            word = self.number(8)
            flags = word & 0xfff
            if flags & self.EOS:
                return
            if flags & self.SIZES:
                left = word & ~0xfff
                while left > 0:
                    self.text()
                    left -= self.number(8)
                continue
            if not flags & self.CONTINUE:
                self.text()
            if flags & self.ZERO:
                self.take(1)
            elif flags & self.PAGE:
                self.take(4096)
            else:
                sys.exit(f"a page with flags {flags:#x} in QEMU's migration stream")

    def htab(self, start):
        word = self.number(4)
        if start:
            self.table = bytearray(1 << word)  # the order
            return
        while True:
            index, valid, invalid = self.number(4), self.number(2), self.number(2)
            self.bytes += 8 + 16 * valid
            if not valid and not invalid:
                return
            at = 16 * index
            if at + 16 * (valid + invalid) > len(self.table):
                sys.exit("an entry beyond the table in QEMU's migration stream")
            self.table[at:at + 16 * valid] = self.take(16 * valid)
            self.table[at + 16 * valid:at + 16 * (valid + invalid)] = bytes(16 * invalid)

    def read(self):
        names = {}
        if self.take(8) != b"QEVM\0\0\0\3":
            sys.exit("QEMU's migration stream has another version")
        while True:
            kind = self.number(1)
            if kind == self.CONFIGURATION:
                self.take(self.number(4))
                continue
            if kind not in (self.START, self.PART, self.END):
                sys.exit(f"a section of type {kind} before the page table's end")
            section = self.number(4)
            if kind == self.START:
                names[section] = self.text()
                self.take(8)  # instance, version
            if names.get(section) == "ram":
                self.ram()
            elif names.get(section) == "spapr/htab":
                self.htab(kind == self.START)
            else:
                sys.exit(f"an unknown section {names.get(section)}")
            if self.number(1) != self.FOOTER or self.number(4) != section:
                sys.exit("a section of QEMU's migration stream has another length")
            if kind == self.END and names[section] == "spapr/htab":
                break
        for at in range(0, len(self.table), 16):
            self.table[at + 7] &= 0xbf  # HPTE64_V_HPTE_DIRTY: QEMU's own mark
            self.valid += self.table[at + 7] & 1
        while self.file.read(1 << 20):
            pass


class Qemu:
    def __init__(self, directory, name, kernel, initrd, *extra):
        self.trace = os.path.join(directory, name + ".trace")
        sock = os.path.join(directory, name + ".qmp")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(sock)
        listener.listen(1)
        with open(self.trace, "w") as trace:
            self.process = subprocess.Popen(
                ["qemu-system-ppc64", "-M", "pseries,x-vof=on,cap-hpt-max-page-size=4k", "-accel", "tcg,thread=multi",
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


def section_seconds(path, since, section):
    seconds, begun = 0.0, None
    with open(path, errors="replace") as lines:
        lines.seek(since)
        for line in lines:
            m = re.match(r"\d+@([\d.]+):savevm_section_(start|end) (\S+), section_id", line)
            if not m or m[3] != section:
                continue
            if m[2] == "start":
                begun = float(m[1])
            elif begun is not None:
                seconds += float(m[1]) - begun
                begun = None
    return seconds


def completed(source):
    if source.wait_event("MIGRATION", "status", ("completed", "failed")) != "completed":
        sys.exit("QEMU's migration failed")


def read_table(directory, source):
    path = os.path.join(directory, "stream")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(60)
        source.run("migrate", uri="unix:" + path)
        connection = listener.accept()[0]
    connection.settimeout(MOVE_SECONDS)
    stream = Stream(connection.makefile("rb", buffering=1 << 20))
    stream.read()
    connection.close()
    completed(source)
    return stream


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
        source.wait_console(b"MEASURE ME", log)
        source.run("stop")
        source.run("migrate-set-parameters", **{"max-bandwidth": 8 << 30})
        source.run("migrate-set-capabilities",
                   capabilities=[{"capability": "events", "state": True}])
        stream = read_table(directory, source)
        source.run("cont")  # QEMU moves no guest twice that has not run in between
        source.run("stop")
        destination = Qemu(directory, "b", kernel, initrd, "-incoming", "defer", "-object",
                           creds + ",endpoint=server")
        qemus.append(destination)
        for q in qemus:
            q.run("migrate-set-parameters", **{"tls-creds": "tls0"})
        uri = "unix:" + os.path.join(directory, "migrate")
        destination.run("migrate-incoming", uri=uri)
        since = os.path.getsize(source.trace)
        source.run("migrate", uri=uri)
        completed(source)
    finally:
        for q in qemus:
            q.end()
    return section_seconds(source.trace, since, "spapr/htab"), stream


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as directory, open(sys.argv[3], "wb") as log:
        seconds, stream = measure(directory, sys.argv[1], sys.argv[2], log)
    if seconds <= 0:
        sys.exit("QEMU's trace has no section spapr/htab")
    with open(sys.argv[4], "wb") as table:
        table.write(stream.table)
    print(json.dumps({"seconds": round(seconds, 4), "bytes": stream.bytes,
                      "valid": stream.valid, "entries": len(stream.table) // 16}))


main()
