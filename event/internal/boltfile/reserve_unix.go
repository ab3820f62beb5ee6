//go:build unix && !linux

package boltfile

import (
	"os"
	"syscall"
)

var full = [...]error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}

// reserve gives a file blocks.
func reserve(f *os.File, from, to int64) error { return zeros(f, from, to) }
