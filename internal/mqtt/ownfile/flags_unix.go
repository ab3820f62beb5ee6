//go:build unix

package ownfile

import "syscall"

// noFollow has the system refuse a symbolic link that came after Check.
const noFollow = syscall.O_NOFOLLOW
