//go:build !unix

package mqtttest

import (
	"os"
	"syscall"
)

// On other systems a process can only be killed; everything else returns an error.
var (
	sigTerminate os.Signal = os.Kill
	sigPause     os.Signal = syscall.Signal(0x13)
	sigResume    os.Signal = syscall.Signal(0x12)
	sigReload    os.Signal = syscall.SIGHUP
)

func childAttributes() *syscall.SysProcAttr { return nil }

func signalGroup(p *os.Process, sig os.Signal) error { return p.Signal(sig) }
