package cluster_test

import (
	"fmt"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/cluster"
)

// How much more than the mean the busiest of 8 members of a group gets, for docs/guide/capacity.md:
// that many times the mean is what each member must be able to handle. Four members are on the first
// node, three on the second and one on the third, and each node has a publisher.
func TestBusiestMember(t *testing.T) {
	t.Parallel()
	const messages = 4800
	for name, tt := range map[string]struct {
		opts []broker.Option
		want string
	}{
		"round robin":    {nil, "1.00"},
		"random, seed 1": {[]broker.Option{broker.ShareBy(broker.Random), broker.WithSeed(1)}, "1.06"},
		"random, seed 2": {[]broker.Option{broker.ShareBy(broker.Random), broker.WithSeed(2)}, "1.07"},
		"nodes in turn":  {[]broker.Option{broker.ShareBy(broker.NodesInTurn)}, "2.67"},
		"local first":    {[]broker.Option{broker.ShareBy(broker.LocalFirst)}, "2.67"},
		"sticky":         {[]broker.Option{broker.ShareBy(broker.Sticky)}, "8.00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cluster.Scripted(t, 3, cluster.Plain, tt.opts...)
			var members []*client
			for i, node := range []int{0, 0, 0, 0, 1, 1, 1, 2} {
				m := dial(t, c, node, fmt.Sprint("member-", i))
				m.subscribe("$share/g/t")
				members = append(members, m)
			}
			var publishers []*client
			for node := range c.Nodes() {
				publishers = append(publishers, dial(t, c, node, fmt.Sprint("publisher-", node)))
			}
			got := make([]int, len(members))
			for i := range messages {
				p := publishers[i%len(publishers)]
				p.Send(mqtttest.PublishPacket(4, uint16(i+1), "t", 1, "x"))
				p.Expect(mqtttest.TypePuback)
				if i%24 != 23 {
					continue
				}
				for n, m := range members {
					m.drain(func(string) { got[n]++ })
				}
			}
			busiest, all := 0, 0
			for _, n := range got {
				busiest, all = max(busiest, n), all+n
			}
			if all != messages {
				t.Fatalf("%d of %d arrived: %v", all, messages, got)
			}
			if factor := fmt.Sprintf("%.2f", float64(busiest*len(members))/messages); factor != tt.want {
				t.Errorf("the busiest member gets %s times the mean, want %s: %v", factor, tt.want, got)
			}
		})
	}
}
