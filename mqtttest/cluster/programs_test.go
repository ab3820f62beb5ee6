package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/cluster"
)

// Messages reach a subscriber on another node. What waits in the session of a client survives the
// end of its node where the cluster has it on others, and a node that comes back is a member.
func TestClustersOfPrograms(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		start func(testing.TB, int) *cluster.Programs
		nodes int
		keeps bool // sessions of a killed node
	}{
		"nats":  {cluster.NATS, 3, true},
		"gmqtt": {cluster.Gmqtt, 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			c := tt.start(t, tt.nodes)
			t.Logf("ready in %v", time.Since(began).Round(time.Millisecond))
			last := c.Nodes() - 1
			there := dial(t, c, last, "there")
			there.subscribe("t")
			here := dial(t, c, 0, "here")
			published := uint16(0)
			publish := func() (payload string) {
				published++
				payload = fmt.Sprint(published)
				here.Send(mqtttest.PublishPacket(4, published, "t", 1, payload))
				here.Expect(mqtttest.TypePuback)
				return payload
			}
			arrives(t, there, publish)

			there.Close()
			waiting := publish()
			c.Kill(last)
			c.Kill(last)
			there = dial(t, c, 0, "there")
			got := map[string]bool{}
			there.subscribe("t", func(payload string) { got[payload] = true })
			arrives(t, there, publish, func(payload string) { got[payload] = true })
			if got[waiting] != tt.keeps {
				t.Errorf("the message that waited on the killed node arrived: %t, want %t", got[waiting], tt.keeps)
			}
			there.Close()

			c.Start(last)
			c.Start(last)
			back := dial(t, c, last, "back")
			back.subscribe("t")
			arrives(t, back, publish)
			c.Stop(last)
			back.ExpectClosed()
		})
	}
}

// arrives publishes until a message arrives: some clusters tell other nodes of a subscription
// after they have granted it.
func arrives(t *testing.T, c *client, publish func() string, handled ...func(string)) {
	t.Helper()
	mqtttest.Eventually(t, time.Minute, func() bool {
		publish()
		c.Send(mqtttest.PacketOf(0xC0))
		some := false
		for c.next(handled...) == mqtttest.TypePublish {
			some = true
		}
		return some
	})
}
