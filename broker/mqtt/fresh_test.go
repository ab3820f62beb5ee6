package mqtt_test

import (
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A process that is killed during QoS 2 exchanges leaves them open at the broker. The
// next process with the same client id finds its window full: Mosquitto 2.0.11 closes
// the connection of a client that exceeds it, and drops QoS 1 messages that it has
// acknowledged meanwhile. Every publish must arrive nevertheless.
func TestExchangesOfAnEarlierProcessCostNothing(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			server := mqtttest.Mosquitto(t)
			version := map[string]byte{"3.1.1": 4, "5": 5}[protocol]
			dead := mqtttest.Raw(t, server.URL())
			dead.Connect(version, "fresh-pub", false)
			// As many as this broker takes at a time.
			const first, n = 0x8100, 20
			for i := range uint16(n) {
				dead.Send(mqtttest.PublishPacket(version, first+i, "fresh/old", 2, "old"))
				dead.Expect(mqtttest.TypePubrec)
			}
			_ = dead.Close()

			watcher := mqtttest.Raw(t, server.URL())
			watcher.Connect(4, "fresh-watcher", true)
			watcher.Send(mqtttest.SubscribePacket(4, 1, "fresh/new", 0))
			watcher.Expect(mqtttest.TypeSuback)

			p, err := mqttbroker.NewPublisher(broker.WithAddress(server.URL()),
				mqttbroker.WithClientId("fresh"), mqttbroker.WithProtocol(protocol))
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 4 * n {
				if err := p.Publish(t.Context(), "fresh/new", []byte("new"), event.QoS(2)); err != nil {
					t.Fatal(err)
				}
			}
			for range 4 * n {
				watcher.Expect(mqtttest.TypePublish)
			}
			if err := p.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Mosquitto does not save an MQTT 5 session whose CONNECT had Clean Start. Sessions
// that must be kept are therefore opened without it, including the session of a
// publisher, which begins anew (ADR 13). Both sessions exist after each orderly restart
// of the broker, whether or not the client was connected when the broker stopped.
func TestMosquittoKeepsSessionsOverItsRestart(t *testing.T) {
	t.Parallel()
	const rounds = 10
	for name, opts := range map[string][]broker.Option{
		"preset": {mqttbroker.WithProtocol(""), mqttbroker.WithPreset("mosquitto")},
		"auto":   {mqttbroker.WithProtocol("auto")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := mqtttest.Mosquitto(t)
			b, out := logged(t, server.URL(), append(opts, mqttbroker.WithClientId("kept"))...)
			got := subscribe(t, b, "a")
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			publish(t, b, "a", "first") // opens the publisher's connection
			receive(t, got)
			wait := func() {
				t.Helper()
				if err := b.WaitReady(within(t, patience)); err != nil {
					t.Fatal(err)
				}
			}
			for i := range rounds {
				server.Stop()
				server.Start()
				publish(t, b, "a", "again") // on a connection to the new process
				receive(t, got)
				wait()
				for _, id := range []string{"kept", "kept-pub"} {
					mqtttest.Eventually(t, patience, func() bool {
						return out.matches("msg=mqtt: connected messaging.client.id="+id+" .*session_present=true") == i+1
					},
						"round %d: the session of %s is not there", i+1, id)
				}
			}
			if err := b.Disconnect(); err != nil {
				t.Fatal(err)
			}
			server.Stop()
			server.Start()
			other := connected(t, server.URL(), mqttbroker.WithProtocol("5"))
			publish(t, other, "a", "while away")
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			for receive(t, got).body != `"while away"` {
				continue // a message that the stop interrupted arrives again
			}
			if n := b.Health().SessionsLost; n != 0 {
				t.Errorf("%d sessions lost", n)
			}
		})
	}
}
