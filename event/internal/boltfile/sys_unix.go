//go:build unix && !linux && !solaris && !aix

package boltfile

import (
	"os"
	"syscall"
)

// fullErrors returns the errors that mean that there is no room.
func fullErrors() []error { return []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} }

// reserve allocates blocks for a file.
func reserve(f *os.File, from, to int64) error { return zeros(f, from, to) }

// unlock releases the lock that bbolt holds while the file is mapped.
func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
