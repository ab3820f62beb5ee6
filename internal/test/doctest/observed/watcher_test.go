package observed

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/transport"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/configfile"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func NewWatcher(path string, srv *mqttserver.Server, logger log.Logger) transport.Server {
	return configfile.NewWatcher(path, log.NewHelper(logger),
		func(c *kratosmqttv1.Settings) error { return mqttbroker.Check(c, false) }, // or your own message
		func(c *kratosmqttv1.Settings) error { return srv.Reload(c) })
}

// told is a logger that reports its first line.
type told chan struct{}

func (l told) Log(log.Level, ...any) error {
	select {
	case l <- struct{}{}:
	default:
	}
	return nil
}

func TestNewWatcher(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.yaml")
	logged := make(told, 1)
	srv := mqttserver.NewServer(mqttserver.WithBrokerOptions(mqttbroker.WithConnectionConfig(
		&kratosmqttv1.Connection{Addresses: []string{mqtttest.InProcess(t).URL()}, Username: "ann", Password: "a"})))
	w := NewWatcher(path, srv, logged)
	if err := os.WriteFile(path, []byte("connection: {addresses: ['mqtt://127.0.0.1:1'], username: ann, password: b}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- w.Start(t.Context()) }()
	<-logged
	if err := w.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
}
