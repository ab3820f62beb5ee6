//go:build unix && !linux

package pgtest

import "syscall"

// childAttributes puts a child into a process group of its own and gives it the
// user that it may run as.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: credential()}
}
