package client

import (
	"fmt"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/cluster"
)

// Partitions move, and a node of the broker is killed, under load: nothing is lost.
func TestPartitionsOnACluster(t *testing.T) {
	t.Parallel()
	const count, keys, each = 6, 10, 60
	brokers := cluster.NATS(t, 3)
	everywhere := func(c *Config) {
		addresses, err := ParseAddresses(cluster.URLs(brokers))
		if err != nil {
			t.Fatal(err)
		}
		c.Addresses = addresses
	}
	all, got := newRegistry("a", "b"), new(received)
	replicas := make(map[string]*Client)
	for _, name := range []string{"a", "b"} {
		c := client(t, brokers.URL(0), partitioned(Version31, Partitions{Count: count, Watch: all.watch(name), Handover: time.Second}), everywhere)
		replicas[name] = running(t, c, &Subscription{Filter: partitionedFilter, QoS: 1, Handler: got.by(name)})
	}
	mqtttest.Eventually(t, patience, func() bool {
		return len(states(replicas["a"], event.PartitionOwned))+len(states(replicas["b"], event.PartitionOwned)) == count
	})
	source := running(t, client(t, brokers.URL(1), partitioned(Version31, Partitions{Count: count}), named("source"), everywhere))
	for i := range each {
		for k := range keys {
			publishKeyed(t, source, fmt.Sprintf("k%d", k), i)
		}
		switch i {
		case each / 3:
			all.set("b")
		case each / 2:
			brokers.Kill(0)
		}
	}
	owns(t, replicas["b"], 0, 1, 2, 3, 4, 5)
	mqtttest.Eventually(t, 2*patience, func() error {
		if got := distinct(got.all()); got < keys*each {
			return fmt.Errorf("%d of %d", got, keys*each)
		}
		return nil
	})
	t.Logf("%d of %d arrived twice", checkPartitions(t, got.all(), count, nil, false), keys*each)
}
