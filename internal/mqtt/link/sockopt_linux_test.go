package link

import (
	"net"
	"syscall"
	"testing"
	"time"
)

func TestUserTimeout(t *testing.T) {
	t.Parallel()
	addr := listen(t, nil, echo)
	for _, tc := range []struct {
		given time.Duration
		want  int // ms
	}{{0, 30_000}, {7 * time.Second, 7_000}, {-1, 0}} {
		d := Dialer{UserTimeout: tc.given}
		nc, err := d.Dial(t.Context(), mustParse(t, addr))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		for name, opt := range map[string][3]int{
			"TCP_USER_TIMEOUT": {syscall.IPPROTO_TCP, tcpUserTimeout, tc.want},
			"TCP_NODELAY":      {syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
			"SO_KEEPALIVE":     {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		} {
			if got := socketOption(t, nc, opt[0], opt[1]); got != opt[2] {
				t.Errorf("%v: %s is %d, want %d", tc.given, name, got, opt[2])
			}
		}
	}
}

func socketOption(t *testing.T, nc net.Conn, level, option int) (value int) {
	t.Helper()
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) { value, failed = syscall.GetsockoptInt(int(fd), level, option) })
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return value
}
