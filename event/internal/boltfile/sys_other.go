//go:build !unix || solaris || aix

package boltfile

import (
	"os"
	"syscall"
)

// fullErrors returns ERROR_HANDLE_DISK_FULL and ERROR_DISK_FULL of Windows.
func fullErrors() []error { return []error{syscall.Errno(39), syscall.Errno(112)} }

// reserve allocates blocks for a file.
func reserve(f *os.File, from, to int64) error { return zeros(f, from, to) }

// unlock does nothing: the lock ends with the process.
func unlock(*os.File) error { return nil }
