package cluster

import (
	"cmp"
	"slices"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// ScriptedCluster is the in-process broker with several nodes.
type ScriptedCluster struct {
	// Broker injects faults, shows packets, and counts what the cluster lost, see
	// [broker.Counts]. Settle ends the delays between the nodes. Its methods without a node act
	// on the whole cluster.
	Broker *broker.Broker

	tb     testing.TB
	preset Preset
}

var _ Cluster = (*ScriptedCluster)(nil)

// Scripted starts a cluster in this process that imitates the one of the preset. Options are
// applied after those of the preset and so change it; [broker.WithSeed] makes random choices
// repeatable.
func Scripted(tb testing.TB, nodes int, preset Preset, opts ...broker.Option) *ScriptedCluster {
	tb.Helper()
	if err := preset.Validate(); err != nil {
		tb.Fatalf("cluster: %v", err)
	}
	b, err := broker.Listen(slices.Concat([]broker.Option{broker.WithNodes(nodes)}, preset.Options(), opts)...)
	if err != nil {
		tb.Fatalf("cluster: %v", err)
	}
	tb.Cleanup(b.Close)
	return &ScriptedCluster{Broker: b, tb: tb, preset: preset}
}

// Name implements [Cluster]: the preset, or scripted.
func (c *ScriptedCluster) Name() string { return cmp.Or(string(c.preset), "scripted") }

// Nodes implements [Cluster].
func (c *ScriptedCluster) Nodes() int { return c.Broker.Nodes() }

// URL implements [Cluster].
func (c *ScriptedCluster) URL(node int) string { return c.Broker.NodeURL(node) }

// Kill implements [Cluster], see [broker.Broker.KillNode].
func (c *ScriptedCluster) Kill(node int) { c.Broker.KillNode(node) }

// Stop implements [Cluster], see [broker.Broker.StopNode].
func (c *ScriptedCluster) Stop(node int) { c.Broker.StopNode(node) }

// Start implements [Cluster].
func (c *ScriptedCluster) Start(node int) {
	c.tb.Helper()
	if err := c.Broker.StartNode(node); err != nil {
		c.tb.Errorf("cluster: %v", err)
	}
}
