//go:build !linux

package link

import (
	"context"
	"syscall"
	"time"
)

// setUserTimeout does nothing: only Linux has the option.
func setUserTimeout(time.Duration) func(context.Context, string, string, syscall.RawConn) error {
	return nil
}
