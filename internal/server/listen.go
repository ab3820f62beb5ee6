package server

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

// defaultTimeout bounds a request if no timeout is configured.
const defaultTimeout = 5 * time.Second

// listen listens on a TCP address. Errors name the address and the environment variable
// that sets it.
func listen(addr, variable string) (net.Listener, error) {
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, listenError(addr, variable, err)
	}
	return lis, nil
}

func listenError(addr, variable string, err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen on %s (set %s to change it): %w", addr, variable, err)
	}
	_, port, splitErr := net.SplitHostPort(addr)
	if splitErr != nil {
		port = addr
	}
	return fmt.Errorf("port %s is in use on %s, set %s to another address: %w", port, addr, variable, err)
}

func timeoutOf(d *durationpb.Duration) time.Duration {
	if d == nil {
		return defaultTimeout
	}
	return d.AsDuration()
}
