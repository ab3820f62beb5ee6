//go:build !linux

package postgres

import "syscall"

func unprivileged(string) (*syscall.SysProcAttr, error) { return nil, nil }
