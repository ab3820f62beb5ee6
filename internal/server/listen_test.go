package server

import (
	"net"
	"strings"
	"testing"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

func TestTakenPortIsNamedWithItsVariable(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	reports, devices := (&stub{}).services()
	for variable, open := range map[string]func() error{
		conf.EnvHTTPAddr: func() error {
			_, _, err := NewHTTPServer(&conf.Server{Http: &conf.Server_HTTP{Addr: addr}}, NewRoom(), newTelemetry(t), reports, devices, log.DefaultLogger)
			return err
		},
		conf.EnvGRPCAddr: func() error {
			_, _, err := NewGRPCServer(&conf.Server{Grpc: &conf.Server_GRPC{Addr: addr}}, NewRoom(), newTelemetry(t), reports, devices, log.DefaultLogger)
			return err
		},
	} {
		wantTaken(t, open(), port, variable)
	}
}

func wantTaken(t *testing.T, err error, port, variable string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "port "+port+" is in use") || !strings.Contains(err.Error(), variable) {
		t.Errorf("%s: got %v", variable, err)
	}
}

func TestUnusableAddressIsNamedWithItsVariable(t *testing.T) {
	t.Parallel()
	_, err := listen("127.0.0.1:99999", conf.EnvHTTPAddr)
	if err == nil || !strings.Contains(err.Error(), conf.EnvHTTPAddr) || !strings.Contains(err.Error(), "99999") {
		t.Errorf("got %v", err)
	}
}
