package mqtt_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// sick returns brokers that accept a connection and then do not work.
func sick() map[string]func(version byte) func(net.Conn) {
	greet := func(c net.Conn, version byte) bool {
		_, err := mqtttest.ReadPacket(c)
		if err == nil {
			_, err = c.Write(mqtttest.ConnackPacket(version, false, 0))
		}
		return err == nil
	}
	return map[string]func(version byte) func(net.Conn){
		"closes after CONNACK": func(v byte) func(net.Conn) {
			return func(c net.Conn) { greet(c, v) }
		},
		"closes on SUBSCRIBE": func(v byte) func(net.Conn) {
			return func(c net.Conn) {
				if greet(c, v) {
					_, _ = mqtttest.ReadPacket(c)
				}
			}
		},
		"moved": func(v byte) func(net.Conn) {
			return func(c net.Conn) {
				if greet(c, v) && v == 5 {
					_, _ = c.Write([]byte{0xE0, 2, 0x9C, 0})
				}
			}
		},
		"silent after CONNACK": func(v byte) func(net.Conn) {
			return func(c net.Conn) {
				if greet(c, v) {
					_, _ = io.Copy(io.Discard, c)
				}
			}
		},
	}
}

// An address that accepts connections and then does not work does not prevent a client
// from using the other addresses of the list.
func TestUselessAddress(t *testing.T) {
	t.Parallel()
	for name, script := range sick() {
		for _, version := range []byte{4, 5} {
			t.Run(fmt.Sprintf("%s %d", name, version), func(t *testing.T) {
				t.Parallel()
				bad := mqtttest.ScriptedBroker(t, script(version))
				good := mqtttest.InProcess(t)
				m, _ := logged(t, bad.URL(), broker.WithAddress(bad.URL(), good.URL()),
					mqttbroker.WithProtocol(map[byte]string{4: "3.1.1", 5: "5"}[version]),
					mqttbroker.WithConnectTimeout(time.Second), mqttbroker.WithKeepAlive(2*time.Second))
				got := subscribe(t, m, "a/+")
				if err := m.Connect(); err != nil {
					t.Log("connect:", err)
				}
				if err := m.WaitReady(within(t, patience)); err != nil {
					t.Fatal(err)
				}
				publish(t, m, "a/b", "x")
				receive(t, got)
			})
		}
	}
}

// An address that does not answer costs the connect timeout once: later connections of
// the client begin with the address at which an earlier one succeeded.
func TestSilentAddressIsMetOnce(t *testing.T) {
	t.Parallel()
	silent := mqtttest.ScriptedBroker(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	good := mqtttest.InProcess(t)
	m, _ := logged(t, silent.URL(), broker.WithAddress(silent.URL(), good.URL()), mqttbroker.WithProtocol("5"),
		mqttbroker.WithConnectTimeout(6*time.Second))
	got := subscribe(t, m, "a/+")
	if err := m.Connect(); err != nil {
		t.Fatal(err)
	}
	if err := m.Publish(within(t, 5*time.Second), "a/b", broker.NewMessage("x")); err != nil {
		t.Errorf("the publisher: %v", err)
	}
	receive(t, got)
	if _, err := m.Request(within(t, 5*time.Second), "a/c", broker.NewMessage("x")); event.LossKindOf(err) != "" || !strings.Contains(err.Error(), "no reply") {
		t.Errorf("a request: %v", err)
	}
}
