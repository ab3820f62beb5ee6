package boltfile

import (
	"errors"
	"os"
	"syscall"
)

// fullErrors returns the errors that mean that there is no room.
func fullErrors() []error { return []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} }

// reserve allocates blocks for a file.
func reserve(f *os.File, from, to int64) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sysErr error
	err = conn.Control(func(fd uintptr) {
		for {
			sysErr = syscall.Fallocate(int(fd), 0, from, to-from)
			if !errors.Is(sysErr, syscall.EINTR) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	if errors.Is(sysErr, errors.ErrUnsupported) {
		return zeros(f, from, to)
	}
	return os.NewSyscallError("fallocate", sysErr)
}

// unlock releases the lock that bbolt holds while the file is mapped.
func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
