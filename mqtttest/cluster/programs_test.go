package cluster_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/cluster"
)

// patience bounds what happens within seconds on a quiet machine.
const patience = 2 * time.Minute

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
			there := connect(t, c, last, "there")
			there.subscribe(t, "t")
			here := connect(t, c, 0, "here")
			arrives(t, there, here)

			there.Disconnect(0)
			waiting := here.publish(t)
			c.Kill(last)
			c.Kill(last)
			there = connect(t, c, 0, "there")
			there.subscribe(t, "t")
			arrives(t, there, here)
			if tt.keeps {
				mqtttest.Eventually(t, patience, func() bool { return there.got(waiting) }, "the message that waited on the killed node")
			} else if there.got(waiting) {
				t.Error("the message that waited on the killed node arrived")
			}
			there.Disconnect(0)

			c.Start(last)
			c.Start(last)
			back := connect(t, c, last, "back")
			back.subscribe(t, "t")
			arrives(t, back, here)
			c.Stop(last)
			mqtttest.Eventually(t, patience, func() bool { return !back.IsConnectionOpen() }, "the stopped node ends its connections")
		})
	}
}

// session is a client with a session that lasts. It connects again, as every client must: a cluster
// that chooses leaders after a node has ended also ends connections to other nodes.
type session struct {
	paho.Client

	mu        sync.Mutex
	payloads  map[string]bool
	published int
}

func connect(t *testing.T, c cluster.Cluster, node int, id string) *session {
	t.Helper()
	s := &session{payloads: make(map[string]bool)}
	s.Client = paho.NewClient(paho.NewClientOptions().AddBroker(c.URL(node)).SetClientID(id).SetProtocolVersion(4).
		SetCleanSession(false).SetConnectTimeout(patience).SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond).
		SetMaxReconnectInterval(100 * time.Millisecond).SetDefaultPublishHandler(s.receive))
	t.Cleanup(func() { s.Disconnect(0) })
	if token := s.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("%s does not connect: %v", id, token.Error())
	}
	return s
}

func (s *session) receive(_ paho.Client, m paho.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.payloads[string(m.Payload())] = true
}

func (s *session) got(payload string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.payloads[payload]
}

func (s *session) subscribe(t *testing.T, filter string) {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		token := s.Subscribe(filter, 1, nil)
		token.WaitTimeout(patience)
		return token.Error()
	})
}

// publish publishes a message, and returns its payload.
func (s *session) publish(t *testing.T) (payload string) {
	t.Helper()
	s.published++
	payload = fmt.Sprint(s.published)
	if token := s.Publish("t", 1, false, payload); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("%s is not acknowledged: %v", payload, token.Error())
	}
	return payload
}

// arrives publishes until a message arrives: some clusters tell other nodes of a subscription
// after they have granted it.
func arrives(t *testing.T, to, from *session) {
	t.Helper()
	var sent []string
	mqtttest.Eventually(t, patience, func() bool {
		sent = append(sent, from.publish(t))
		return slices.ContainsFunc(sent, to.got)
	})
}
