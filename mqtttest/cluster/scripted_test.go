package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/cluster"
)

// client is a plain client of a cluster, with a session that lasts.
type client struct {
	*mqtttest.RawClient
	id string
}

func dial(t *testing.T, c cluster.Cluster, node int, id string) *client {
	t.Helper()
	raw := mqtttest.Raw(t, c.URL(node))
	raw.Connect(4, id, false)
	return &client{raw, id}
}

func (c *client) subscribe(filter string, handled ...func(payload string)) {
	c.Send(mqtttest.SubscribePacket(4, 1, filter, 1))
	for packet := mqtttest.TypePublish; packet != mqtttest.TypeSuback; {
		packet = c.next(handled...)
	}
}

// next reads a packet of any type and returns the type; a message is acknowledged.
func (c *client) next(handled ...func(payload string)) mqtttest.PacketType {
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	p, err := mqtttest.ReadPacket(c)
	if err != nil {
		panic(fmt.Sprintf("%s reads: %v", c.id, err))
	}
	if p.Type() == mqtttest.TypePublish {
		c.Send(mqtttest.AckPacket(mqtttest.TypePuback, p.ID()))
		for _, f := range handled {
			f(string(broker.Observed{Packet: p, Version: 4}.Message()))
		}
	}
	return p.Type()
}

// drain handles messages until the broker has none.
func (c *client) drain(handled func(payload string)) {
	for some := true; some; {
		some = false
		c.Send(mqtttest.PacketOf(0xC0))
		for c.next(handled) == mqtttest.TypePublish {
			some = true
		}
	}
}

// What each preset loses of 30 messages on the way to three consumers and 30 more, when the node of one
// is killed and its client comes back on another node.
func TestPresetsLoseWhatTheyAreKnownToLose(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		preset    cluster.Preset
		publisher int // its node
		opts      []broker.Option
		lost      int
		why       string
	}{
		{cluster.Plain, 0, nil, 0, "sessions are on all nodes"},
		{cluster.LikeGMQTT, 0, nil, 20, "10 with the session, 10 on the way to a node that was not known to be dead"},
		{cluster.LikeGMQTT, 0, []broker.Option{broker.StaleFor(0)}, 10, "with the session"},
		{cluster.LikeComqtt, 0, nil, 0, "messages do not leave the publisher's node"},
		{cluster.LikeComqtt, 2, nil, 0, "messages do not leave the publisher's node"},
		{cluster.LikeEMQX, 0, nil, 10, "with the session"},
		{cluster.LikeNATS, 0, nil, 0, "sessions are on all nodes"},
		{cluster.LikeRabbitMQ, 0, nil, 0, "sessions are on all nodes"},
		{cluster.LikeEjabberd, 0, nil, 60, "all before the client is back: its session is gone"},
	} {
		t.Run(fmt.Sprintf("%s, node %d, %d options", tt.preset, tt.publisher, len(tt.opts)), func(t *testing.T) {
			t.Parallel()
			c := cluster.Scripted(t, 3, tt.preset, tt.opts...)
			consumers, filter := []*client{dial(t, c, 1, "b")}, "t"
			if tt.preset.Shares() {
				consumers, filter = append(consumers, dial(t, c, 0, "a"), dial(t, c, 2, "c")), "$share/g/t"
			}
			for _, one := range consumers {
				one.subscribe(filter)
			}
			c.Broker.Settle()

			count := mqtttest.NewRecorder()
			publisher := dial(t, c, tt.publisher, "publisher")
			publish := func(from, to int) {
				for i := from; i < to; i++ {
					count.Attempted(fmt.Sprint(i))
					publisher.Send(mqtttest.PublishPacket(4, uint16(i+1), "t", 1, fmt.Sprint(i)))
					publisher.Expect(mqtttest.TypePuback)
					count.Accepted(fmt.Sprint(i))
				}
			}
			publish(0, 30)
			c.Kill(1)
			consumers[0].ExpectClosed()
			publish(30, 60)
			c.Broker.Settle() // the other nodes notice
			consumers[0] = dial(t, c, 0, "b")
			consumers[0].subscribe(filter, count.Handled)
			c.Broker.Settle()
			for _, one := range consumers {
				one.drain(count.Handled)
			}
			publish(60, 90) // everything works again
			for _, one := range consumers {
				one.drain(count.Handled)
			}

			report := count.Report()
			if len(report.Lost) != tt.lost || report.Accepted != 90 || len(report.Unexpected) != 0 {
				t.Errorf("%v, want %d lost: %s; %+v", report, tt.lost, tt.why, c.Broker.Counts())
			}
		})
	}
}

// comqtt goes on to route half of the messages to the dead node, if the publisher has no member beside it.
func TestComqttAwayFromMembers(t *testing.T) {
	t.Parallel()
	c := cluster.Scripted(t, 3, cluster.LikeComqtt)
	for node, id := range map[int]string{1: "b", 2: "c"} {
		dial(t, c, node, id).subscribe("$share/g/t")
	}
	publisher := dial(t, c, 0, "publisher")
	publish := func() {
		for i := range 10 {
			publisher.Send(mqtttest.PublishPacket(4, uint16(i+1), "t", 1, "x"))
			publisher.Expect(mqtttest.TypePuback)
		}
	}
	publish()
	if n := c.Broker.Stats().Queued; n != 0 {
		t.Errorf("%d messages reached members that the publisher's node does not know yet", n)
	}
	c.Broker.Settle()
	publish()
	c.Kill(1)
	publish()
	if n := c.Broker.Counts(); n.DiedWithNode != 5 || n.Misrouted != 5 {
		t.Errorf("%d messages died with the node, %d were sent to it; want half of them, 5 and 5", n.DiedWithNode, n.Misrouted)
	}
}

// A client that is cut off from its node reaches the others, and other clients that node.
func TestLinks(t *testing.T) {
	t.Parallel()
	c := cluster.Scripted(t, 3, cluster.Plain)
	links := cluster.Links(t, c)
	first := mqtttest.Raw(t, links[1].URL())
	first.Connect(4, "a", false)
	links[1].Cut()
	links[1].Refuse(true)
	first.ExpectClosed()
	if again := mqtttest.Raw(t, links[2].URL()); !again.Connect(4, "a", false) {
		t.Error("the session is not on another node")
	}
	dial(t, c, 1, "b").drain(func(string) {})
}

func TestNodesRestart(t *testing.T) {
	t.Parallel()
	c := cluster.Scripted(t, 2, cluster.LikeEMQX)
	urls := cluster.URLs(c)
	for _, end := range []func(int){c.Kill, c.Stop, c.Kill} {
		dial(t, c, 1, "a").subscribe("t")
		end(1)
		end(1)
		if n := len(c.Broker.Sessions()); n != 0 {
			t.Errorf("%d sessions survived", n)
		}
		c.Start(1)
		c.Start(1)
	}
	if got := strings.Join(cluster.URLs(c), " "); got != strings.Join(urls, " ") || c.Name() != "emqx" {
		t.Errorf("%s became %s", urls, got)
	}
}

func TestPresetsAreValidated(t *testing.T) {
	t.Parallel()
	for _, p := range cluster.Presets() {
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
	}
	if err := cluster.Preset("emq").Validate(); err == nil || !strings.Contains(err.Error(), `preset "emq" of a cluster`) {
		t.Errorf("error %v", err)
	}
}
