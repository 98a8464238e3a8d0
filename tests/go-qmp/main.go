// SPDX-License-Identifier: LGPL-2.1-or-later

// An unmodified QMP client, go-qemu's, drives the daemon as it drives QEMU: it sends commands
// without a newline and reads one answer a line.
//
// usage: go-qmp BUILD-DIR
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

const deadline = 60 * time.Second

var passed, failed int

func check(name string, ok bool, detail interface{}) {
	if ok {
		passed++
		fmt.Println("PASS", name)
		return
	}
	failed++
	fmt.Println("FAIL", name, ":", detail)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// process starts a program that ends with this one.
func process(env []string, args ...string) (*exec.Cmd, *bufio.Scanner) {
	c := exec.Command(args[0], args[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.Env = append(os.Environ(), env...)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	must(err)
	must(c.Start())
	return c, bufio.NewScanner(out)
}

// daemon starts one in dir and waits for its READY=1.
func daemon(build, dir string) *exec.Cmd {
	must(os.Mkdir(dir, 0o755))
	path := filepath.Join(dir, "notify")
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(err)
	defer ready.Close()
	c, _ := process([]string{"NOTIFY_SOCKET=" + path}, filepath.Join(build, "htab-migrated"),
		"--control", filepath.Join(dir, "control.sock"), "--vmm-socket",
		filepath.Join(dir, "vmm.sock"), "--listen", "unix:"+filepath.Join(dir, "listen"),
		"--plaintext", "--name", filepath.Base(dir))
	must(ready.SetReadDeadline(time.Now().Add(deadline)))
	buf := make([]byte, 4096)
	for {
		n, err := ready.Read(buf)
		must(err)
		if strings.Contains(string(buf[:n]), "READY=1") {
			return c
		}
	}
}

// guest starts a simulated guest and waits until the daemon knows it.
func guest(build, dir string, args ...string) (*exec.Cmd, *bufio.Scanner) {
	c, out := process(nil, append([]string{filepath.Join(build, "htab-simvm"), "--socket",
		filepath.Join(dir, "vmm.sock"), "--name", "vm1", "--order", "20"}, args...)...)
	await(out, "registered")
	return c, out
}

func await(out *bufio.Scanner, event string) {
	for out.Scan() {
		var line struct{ Event string }
		must(json.Unmarshal(out.Bytes(), &line))
		if line.Event == event {
			return
		}
	}
	panic("the guest ended before " + event)
}

func connect(path string) *qmp.SocketMonitor {
	m, err := qmp.NewSocketMonitor("unix", path, deadline)
	must(err)
	must(m.Connect())
	return m
}

func run(m *qmp.SocketMonitor, execute string, args interface{}) (map[string]interface{},
	error) {
	cmd, err := json.Marshal(qmp.Command{Execute: execute, Args: args})
	must(err)
	raw, err := m.Run(cmd)
	if err != nil {
		return nil, err
	}
	var answer struct{ Return map[string]interface{} }
	must(json.Unmarshal(raw, &answer))
	return answer.Return, nil
}

func main() {
	build := os.Args[1]
	top, err := os.MkdirTemp("", "go-qmp")
	must(err)
	defer os.RemoveAll(top)
	a, b := filepath.Join(top, "a"), filepath.Join(top, "b")
	defer daemon(build, a).Process.Kill()
	defer daemon(build, b).Process.Kill()
	source, sourceOut := guest(build, a, "--dirty-rate", "1000")
	dest, destOut := guest(build, b, "--incoming")
	defer source.Process.Kill()
	defer dest.Process.Kill()

	// Each VM's own socket: "vm" is implied, as an unmodified client of one VM expects.
	src := connect(filepath.Join(a, "vm", "vm1.qmp"))
	dst := connect(filepath.Join(b, "vm", "vm1.qmp"))
	check("greeting and capabilities", src.Version != nil, src.Version)
	check("version of the greeting", src.Version != nil && src.Version.String() != "", src.Version)

	status, err := run(src, "query-status", nil)
	check("query-status", err == nil && status["running"] == true, fmt.Sprint(status, err))
	_, err = run(src, "no-such-command", nil)
	check("an unknown command is an error", err != nil &&
		strings.Contains(err.Error(), "no-such-command"), err)
	_, err = run(src, "migrate", map[string]interface{}{"uri": 7})
	check("a wrong type is an error", err != nil && strings.Contains(err.Error(), "uri"), err)
	status, err = run(src, "query-migrate", nil)
	check("no migration yet", err == nil && len(status) == 0, fmt.Sprint(status, err))

	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	unread, err := src.Events(ctx)
	must(err)
	events := make(chan qmp.Event, 1000) // the library answers nothing while an event is not taken
	go func() {
		for e := range unread {
			events <- e
		}
	}()
	_, err = run(dst, "migrate-incoming", nil)
	check("migrate-incoming", err == nil, err)
	_, err = run(src, "migrate", map[string]interface{}{
		"uri": "unix:" + filepath.Join(b, "listen"), "detach": true})
	check("migrate returns at once", err == nil, err)
	end := ""
	for end != "completed" && end != "failed" && end != "cancelled" {
		select {
		case e := <-events:
			if e.Event == "MIGRATION" {
				end, _ = e.Data["status"].(string)
			}
		case <-ctx.Done():
			end = "failed"
		}
	}
	status, err = run(src, "query-migrate", nil)
	check("the event tells the end", end == "completed", fmt.Sprint(end, status))
	_, hasRAM := status["ram"].(map[string]interface{})
	_, hasHtab := status["htab"].(map[string]interface{})
	check("query-migrate has ram and htab", err == nil && status["status"] == "completed" &&
		hasRAM && hasHtab, fmt.Sprint(status, err))
	await(sourceOut, "migrated")
	await(destOut, "started")
	status, err = run(dst, "query-status", nil)
	check("the guest runs at the destination", err == nil && status["running"] == true,
		fmt.Sprint(status, err))
	must(dst.Disconnect())

	fmt.Printf("%d passed, %d failed, 0 skipped\n", passed, failed)
	if failed > 0 {
		os.RemoveAll(top)
		os.Exit(1)
	}
}
