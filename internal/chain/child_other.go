//go:build !linux

package chain

import "syscall"

func endWithParent() *syscall.SysProcAttr { return nil }
