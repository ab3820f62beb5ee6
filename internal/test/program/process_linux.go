package program

import "syscall"

// childAttributes puts a child process into its own process group, so that a signal also
// reaches its children, and makes it die with the test process.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
