package link

import (
	"context"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT, which package syscall does not define.
const tcpUserTimeout = 18

// setUserTimeout makes the system drop a connection whose sent bytes stay
// unacknowledged for d. Without it a dead peer may be detected only after many
// minutes, because keep-alive probes are not sent while data is in flight.
func setUserTimeout(d time.Duration) func(context.Context, string, string, syscall.RawConn) error {
	if d < 0 {
		return nil
	}
	return func(_ context.Context, _, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(d.Milliseconds()))
		})
		if err != nil {
			return err
		}
		return failed
	}
}
