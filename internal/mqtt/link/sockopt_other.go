//go:build !linux

package link

import (
	"context"
	"syscall"
	"time"
)

// setUserTimeout does nothing, because only Linux has the option.
func setUserTimeout(time.Duration) func(context.Context, string, string, syscall.RawConn) error {
	return nil
}
