package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// nodes is a cluster under test, and who received messages in which order.
type nodes struct {
	*mqtttest.InProcessBroker

	t   *testing.T
	got []string // guarded by the broker, which calls observers one at a time
}

func newNodes(t *testing.T, n int, opts ...broker.Option) *nodes {
	t.Helper()
	c := &nodes{InProcessBroker: mqtttest.InProcess(t, append(opts, broker.WithNodes(n))...), t: t}
	c.Observe(func(o broker.Observed) {
		if o.Type() == broker.Publish && o.Direction == broker.ToClient {
			c.got = append(c.got, o.ClientID)
		}
	})
	return c
}

// join connects a client to a node.
func (c *nodes) join(node int, id string, clean bool) *peer {
	c.t.Helper()
	p := &peer{mqtttest.Raw(c.t, c.NodeURL(node)), c.t, 5}
	p.Connect(5, id, clean)
	return p
}

// members connects a member of a shared group for each letter, to the node with its index:
// "a", "bc" has a on node 0, and b and c on node 1.
func (c *nodes) members(onNode ...string) map[string]*peer {
	c.t.Helper()
	all := make(map[string]*peer)
	for node, ids := range onNode {
		for id := range strings.SplitSeq(ids, "") {
			all[id] = c.join(node, id, false)
			all[id].subscribe("$share/g/t", 1)
		}
	}
	return all
}

// publish publishes messages to the topic of the group at a node, and returns who got them.
func (c *nodes) publish(node, n int) string {
	c.t.Helper()
	p := c.join(node, fmt.Sprint("pub", node), true)
	c.got = nil
	for i := range n {
		p.Send(mqtttest.PublishPacket(5, uint16(i+1), "t", 1, fmt.Sprint(i)))
		p.Expect(mqtttest.TypePuback)
	}
	return strings.Join(c.got, "")
}

func TestStrategiesOfSharedGroups(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		opts    []broker.Option
		members []string
		at      int // node of the publisher
		want    string
	}{
		"round robin":        {nil, []string{"a", "bc", "d"}, 0, "abcdabcd"},
		"random":             {[]broker.Option{broker.ShareBy(broker.Random), broker.WithSeed(1)}, []string{"a", "b", "c"}, 0, "cbcccabc"},
		"random, other seed": {[]broker.Option{broker.ShareBy(broker.Random), broker.WithSeed(2)}, []string{"a", "b", "c"}, 0, "cbcbcbaa"},
		"sticky":             {[]broker.Option{broker.ShareBy(broker.Sticky)}, []string{"a", "b", "c"}, 2, "aaaaaaaa"},
		"local first":        {[]broker.Option{broker.ShareBy(broker.LocalFirst)}, []string{"a", "bc", "d"}, 1, "bcbcbcbc"},
		"none is local":      {[]broker.Option{broker.ShareBy(broker.LocalFirst)}, []string{"a", "bc"}, 2, "abcabcab"},
		"nodes in turn":      {[]broker.Option{broker.ShareBy(broker.NodesInTurn)}, []string{"a", "bc", "d"}, 2, "abdacdab"},
		"nobody":             {[]broker.Option{broker.ShareBy(broker.Nobody)}, []string{"a", "b"}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newNodes(t, 3, tt.opts...)
			c.members(tt.members...)
			if got := c.publish(tt.at, 8); got != tt.want {
				t.Errorf("received by %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAwayMembers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		opts    []broker.Option
		want    string
		pending int // of the member that is away
	}{
		"skipped":          {nil, "bcbcbc", 0},
		"have their turn":  {[]broker.Option{broker.ShareWithAway()}, "bcbc", 2},
		"leave the sticky": {[]broker.Option{broker.ShareBy(broker.Sticky)}, "bbbbbb", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newNodes(t, 3, tt.opts...)
			c.members("a", "b", "c")["a"].goodbye()
			mqtttest.Eventually(t, patience, func() bool { return !c.Sessions()[0].Connected })
			if got := c.publish(0, 6); got != tt.want {
				t.Errorf("received by %q, want %q", got, tt.want)
			}
			if got := c.Sessions()[0].Pending; got != tt.pending {
				t.Errorf("%d messages wait for the member that is away, want %d", got, tt.pending)
			}
		})
	}
}

// What becomes of 6 messages for members on each of three nodes if node 1 ends, and of 6 more.
func TestEndOfANode(t *testing.T) {
	t.Parallel()
	stale, away, stay := broker.StaleFor(time.Hour), broker.ShareWithAway(), broker.SharedStaysWithSession()
	for name, tt := range map[string]struct {
		opts     []broker.Option
		graceful bool
		want     string // receivers of the messages before and after the end
		waiting  int
		counts   broker.Counts
	}{
		"replicated":               {nil, false, "abcabc acacac", 12, broker.Counts{}},
		"replicated, stopped":      {nil, true, "abcabc acacac", 12, broker.Counts{}},
		"replicated, with away":    {[]broker.Option{away}, false, "abcabc acac", 12, broker.Counts{}},
		"moving":                   {[]broker.Option{broker.Sessions(broker.Moving)}, false, "abcabc acacac", 10, broker.Counts{DiedWithNode: 2}},
		"moving, stopped":          {[]broker.Option{broker.Sessions(broker.Moving)}, true, "abcabc acacac", 12, broker.Counts{HandedOver: 2}},
		"moving, stopped, stays":   {[]broker.Option{broker.Sessions(broker.Moving), stay}, true, "abcabc acacac", 10, broker.Counts{EndedWithSession: 2}},
		"per node, noticed later":  {[]broker.Option{broker.Sessions(broker.PerNode), stale}, false, "abcabc acac", 8, broker.Counts{DiedWithNode: 2, Misrouted: 2}},
		"local first, stale, away": {[]broker.Option{broker.Sessions(broker.PerNode), stale, broker.ShareBy(broker.LocalFirst)}, false, "aaaaaa aaaaaa", 12, broker.Counts{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newNodes(t, 3, tt.opts...)
			members := c.members("a", "b", "c")
			got := c.publish(0, 6)
			if tt.graceful {
				c.StopNode(1)
				for id := uint16(0); id < 2; {
					id = members["b"].Expect(mqtttest.TypePublish).ID()
				}
				members["b"].expectDisconnect(0x8B)
			} else {
				c.KillNode(1)
				members["b"].ExpectClosed()
			}
			if got += " " + c.publish(0, 6); got != tt.want {
				t.Errorf("received by %q, want %q", got, tt.want)
			}
			waiting := 0
			for _, s := range c.Sessions() {
				waiting += s.Pending
			}
			counts := c.Counts()
			losses := broker.Counts{
				DiedWithNode: counts.DiedWithNode, Misrouted: counts.Misrouted,
				HandedOver: counts.HandedOver, EndedWithSession: counts.EndedWithSession,
			}
			if waiting != tt.waiting || losses != tt.counts {
				t.Errorf("%d messages wait, %+v; want %d, %+v", waiting, losses, tt.waiting, tt.counts)
			}
			if c.Settle(); c.publish(0, 4) != strings.Repeat(tt.want[len(tt.want)-2:], 2) && !strings.Contains(name, "away") {
				t.Errorf("received by %q after the cluster has settled", c.got)
			}
			if err := c.StartNode(1); err != nil {
				t.Fatal(err)
			}
			c.join(1, "d", false).subscribe("u", 1)
		})
	}
}

func TestSessionsOfANode(t *testing.T) {
	t.Parallel()
	for placement, want := range map[broker.Placement]struct {
		present  bool
		sessions int
	}{
		broker.Replicated: {true, 1}, broker.Moving: {true, 1}, broker.PerNode: {false, 2},
	} {
		t.Run(fmt.Sprint(placement), func(t *testing.T) {
			t.Parallel()
			c := newNodes(t, 2, broker.Sessions(placement))
			first := c.join(0, "a", false)
			p := &peer{mqtttest.Raw(t, c.NodeURL(1)), t, 5}
			if present := p.Connect(5, "a", false); present != want.present {
				t.Errorf("session present: %t", present)
			}
			list := c.Sessions()
			if len(list) != want.sessions || list[len(list)-1].Node != 1 {
				t.Errorf("%d sessions, want %d: %+v", len(list), want.sessions, list)
			}
			if !want.present {
				first.sync() // it is still served
				return
			}
			first.expectDisconnect(0x8E)
		})
	}
}

func TestSubscriptionSpreadsLater(t *testing.T) {
	t.Parallel()
	c := newNodes(t, 2, broker.SpreadAfter(time.Hour))
	c.join(1, "a", false).subscribe("t", 1)
	elsewhere := c.join(0, "pub", true)
	elsewhere.Send(mqtttest.PublishPacket(5, 1, "t", 1, "x"))
	elsewhere.expectCode(mqtttest.TypePuback, 1, 0x10) // nobody is known
	if got := c.publish(1, 1) + "," + c.publish(0, 1); got != "a," {
		t.Errorf("received by %q before it is known", got)
	}
	c.Settle()
	if got := c.publish(0, 1); got != "a" {
		t.Errorf("received by %q after that", got)
	}
}

func TestClusterIsValidated(t *testing.T) {
	t.Parallel()
	_, err := broker.Listen(
		broker.WithNodes(101), broker.WithFile("x"), broker.Sessions(7), broker.ShareBy(-1), broker.SpreadAfter(-1), broker.StaleFor(-1))
	for _, want := range []string{"101 nodes", "no file", "placement 7", "strategy -1", "known after -1ns, stale for -1ns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not contain %q", err, want)
		}
	}
}

// Nodes that do not run, and numbers without a node, harm nothing.
func TestNodesOutOfRange(t *testing.T) {
	t.Parallel()
	c := newNodes(t, 2)
	c.KillNode(7)
	c.KillNode(1)
	c.KillNode(1)
	if got := c.Faults()["kill node"]; got != 1 || c.NodeURL(7) != "" || c.Nodes() != 2 {
		t.Errorf("%d nodes killed", got)
	}
	c.Stop()
	c.Start() // all of them
	c.join(1, "a", true).sync()
}
