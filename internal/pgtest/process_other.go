//go:build !unix

package pgtest

import (
	"os"
	"syscall"
)

var sigImmediate = os.Kill

func childAttributes() *syscall.SysProcAttr { return nil }

func giveAway(string) error { return nil }
