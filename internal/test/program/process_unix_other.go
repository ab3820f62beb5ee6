//go:build unix && !linux

package program

import "syscall"

// childAttributes puts a child process into its own process group, so that a signal also
// reaches its children.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
