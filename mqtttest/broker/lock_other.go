//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package broker

// lockFile trusts that nobody else uses the file: this system has no lock for it.
func lockFile(string) (unlock func(), err error) { return func() {}, nil }
