//go:build unix

package ownfile

import "syscall"

// noFollow makes the system reject a symbolic link that was created after
// Check.
const noFollow = syscall.O_NOFOLLOW
