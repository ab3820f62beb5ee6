package badinput_test

import (
	"context"
	"net"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// A broker that ends each session at some stage is not reconnected to in a tight loop: after the
// first few attempts the pauses grow.
func TestSessionsThatEndAtOnce(t *testing.T) {
	t.Parallel()
	const watched, most = 8 * time.Second, 25
	for _, stage := range []string{"connack", "ready"} {
		for name, end := range map[string]func(net.Conn){
			"RST": func(c net.Conn) {
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			},
			"message and RST": func(c net.Conn) {
				_, _ = c.Write(mqtttest.PublishPacket(5, 1, "t", 1, "{}"))
				<-time.After(10 * time.Millisecond) // until the client has read it
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			},
		} {
			t.Run(stage+"/"+name, func(t *testing.T) {
				t.Parallel()
				p := newPeer(t, 5, func(c net.Conn, _ int, when string) bool {
					if when == stage {
						if stage == "connack" {
							_, _ = c.Write(mqtttest.ConnackPacket(5, false, 0))
						}
						end(c)
					}
					return when == stage
				})
				srv, _ := client(t, p.URL(), 5, mqttserver.WithBrokerOptions(
					mqttbroker.WithConnectRetryInterval(200*time.Millisecond), mqttbroker.WithMaxReconnectInterval(30*time.Second)))
				handle(t, srv, "t", func(context.Context, *reading) error { return nil })
				go func() { _ = srv.Start(t.Context()) }()
				<-time.After(watched)
				n := p.connections.Load()
				t.Logf("figure: %d connections in %v", n, watched)
				if n > most || n < 2 {
					t.Errorf("%d connections in %v, want at most %d", n, watched, most)
				}
			})
		}
	}
}
