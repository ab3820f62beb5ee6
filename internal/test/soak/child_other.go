//go:build !linux

package soak

import "syscall"

func endWithParent() *syscall.SysProcAttr { return nil }
