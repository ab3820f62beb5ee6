//go:build unix && !linux

package mqtttest

import "syscall"

// childAttributes puts a child into a process group of its own, so that a
// signal reaches what it started.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
