package cluster

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Cluster is a number of brokers that act as one. It is safe for concurrent use, and ends with
// the test. A failed method fails the test.
type Cluster interface {
	// Name is the name of the program or preset, for test names.
	Name() string
	// Nodes returns the number of nodes. They have the numbers from 0.
	Nodes() int
	// URL returns the address of a node, mqtt://127.0.0.1:<port>, which never changes.
	URL(node int) string
	// Kill ends a node with SIGKILL, or like that, and waits for its end. It does nothing if
	// the node is not running.
	Kill(node int)
	// Stop ends a node gracefully, by SIGTERM, and waits for its end. It does nothing if the
	// node is not running.
	Stop(node int)
	// Start starts a node that was killed or stopped, with its data, and returns once it
	// answers a CONNECT and all running nodes see each other.
	Start(node int)
}

// URLs returns the addresses of all nodes, in order.
func URLs(c Cluster) []string {
	urls := make([]string, c.Nodes())
	for node := range urls {
		urls[node] = c.URL(node)
	}
	return urls
}

// Links starts a proxy in front of each node, for the connections of one client: with them a
// test cuts this client off from one node, while other clients reach it. The client uses the
// addresses of the proxies.
func Links(tb testing.TB, c Cluster) []*mqtttest.Proxy {
	tb.Helper()
	proxies := make([]*mqtttest.Proxy, c.Nodes())
	for node := range proxies {
		proxies[node] = mqtttest.NewProxy(tb, c.URL(node))
	}
	return proxies
}
