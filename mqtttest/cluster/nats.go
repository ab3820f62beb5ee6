package cluster

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/program"
)

// NATS starts a cluster of NATS servers with JetStream. Sessions and what waits in them are on up
// to three nodes and outlive any one of them; shared subscriptions are granted and receive
// nothing. It supports MQTT 3.1.1, and needs the program that mqtttest.NATS needs: without it the
// test is skipped, or fails if the environment variable CI is "true".
func NATS(tb testing.TB, nodes int) *Programs {
	tb.Helper()
	path := program.NATS()
	if path == "" {
		program.Missing(tb, "nats-server", "make nats, or install nats-server")
	}
	c := programs(tb, "nats", nodes, "client", "route", "http")
	routes := make([]string, 0, nodes)
	for _, n := range c.nodes {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", n.ports["route"]))
	}
	for _, n := range c.nodes {
		n.Path, n.Args = path, []string{"-c", c.write(n, "nats.conf", fmt.Sprintf(natsConfig, n.name,
			n.ports["client"], n.ports["http"], filepath.Join(n.Dir, "jetstream"), n.ports["mqtt"], min(nodes, 3), n.ports["route"], strings.Join(routes, ", ")))}
	}
	c.joined = natsJoined
	return c.start()
}

const natsConfig = `server_name: %s
listen: "127.0.0.1:%d"
http: "127.0.0.1:%d"
jetstream { store_dir: %q }
mqtt { host: "127.0.0.1", port: %d, stream_replicas: %d }
cluster { name: mqtttest, listen: "127.0.0.1:%d", routes: [%s] }
`

// natsJoined asks each node for its routes, and whether its copies of all streams are current.
func natsJoined(running []*node) error {
	for _, n := range running {
		text, err := n.get("/routez")
		if err != nil {
			return err
		}
		var routes struct {
			Routes []struct {
				Name string `json:"remote_name"`
			} `json:"routes"`
		}
		if err := json.Unmarshal(text, &routes); err != nil {
			return err
		}
		known := make(map[string]bool)
		for _, r := range routes.Routes {
			known[r.Name] = true
		}
		if len(known) < len(running)-1 {
			return fmt.Errorf("%s sees %v", n.name, known)
		}
		if _, err := n.get("/healthz"); err != nil {
			return err
		}
	}
	return nil
}
