//go:build unix && !linux && !solaris && !aix

package boltfile

import (
	"os"
	"syscall"
)

// fullErrors are the errors that mean that there is no room.
func fullErrors() []error { return []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} }

// reserve gives a file blocks.
func reserve(f *os.File, from, to int64) error { return zeros(f, from, to) }

// unlock gives up the lock that bbolt holds as long as the file is mapped.
func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
