//go:build !unix

package program

import (
	"os"
	"syscall"
)

// On other systems a process can only be killed; everything else returns an error.
var (
	SigTerminate os.Signal = os.Kill
	SigPause     os.Signal = syscall.Signal(0x13)
	SigResume    os.Signal = syscall.Signal(0x12)
	SigReload    os.Signal = syscall.SIGHUP
)

func childAttributes() *syscall.SysProcAttr { return nil }

func signalGroup(p *os.Process, sig os.Signal) error { return p.Signal(sig) }
