package cluster

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/program"
)

// Gmqtt starts a cluster of gmqtt 0.5.0 brokers with the federation plugin. It supports MQTT
// 3.1.1 and 5, and shared subscriptions across nodes, which it serves in turn. Sessions are in
// the memory of one node: a node that ends loses them, with messages that it has acknowledged,
// and the others route messages to a killed node for about 5 s.
//
// The program is searched in .tools of the working directory or one of its parents, where make
// gmqtt builds it, else where the system has its programs. Without it the test is skipped, or
// fails if the environment variable CI is "true".
func Gmqtt(tb testing.TB, nodes int) *Programs {
	tb.Helper()
	path := program.ToolPath("gmqttd")
	if path == "" {
		path = program.LookPath("gmqttd")
	}
	if path == "" {
		program.Missing(tb, "gmqttd", "make gmqtt")
	}
	c := programs(tb, "gmqtt", nodes, "http", "grpc", "federation", "gossip")
	for _, n := range c.nodes {
		var others []string
		for _, other := range c.nodes {
			if other != n {
				others = append(others, fmt.Sprintf("127.0.0.1:%d", other.ports["gossip"]))
			}
		}
		n.Path, n.Args = path, []string{"start", "-c", c.write(n, "gmqtt.yml", fmt.Sprintf(gmqttConfig,
			n.ports["mqtt"], n.ports["grpc"], n.ports["http"], n.name, n.ports["federation"], n.ports["gossip"], strings.Join(others, ", ")))}
	}
	c.joined = gmqttJoined
	return c.start()
}

const gmqttConfig = `listeners:
  - address: "127.0.0.1:%[1]d"
api:
  grpc:
    - address: "tcp://127.0.0.1:%[2]d"
  http:
    - address: "tcp://127.0.0.1:%[3]d"
      map: "tcp://127.0.0.1:%[2]d"
mqtt:
  session_expiry: 2h
  session_expiry_check_timer: 20s
  message_expiry: 2h
  max_packet_size: 268435456
  server_receive_maximum: 100
  max_keepalive: 300
  topic_alias_maximum: 10
  subscription_identifier_available: true
  wildcard_subscription_available: true
  shared_subscription_available: true
  maximum_qos: 2
  retain_available: true
  max_queued_messages: 100000
  max_inflight: 1000
  queue_qos0_messages: true
  delivery_mode: onlyonce
  allow_zero_length_clientid: true
plugins:
  federation:
    node_name: %[4]s
    fed_addr: 127.0.0.1:%[5]d
    advertise_fed_addr: 127.0.0.1:%[5]d
    gossip_addr: 127.0.0.1:%[6]d
    advertise_gossip_addr: 127.0.0.1:%[6]d
    retry_join: [%[7]s]
    rejoin_after_leave: true
plugin_order:
  - federation
log:
  level: warn
  format: text
`

// gmqttJoined asks each node for the members that it takes for alive.
func gmqttJoined(running []*node) error {
	for _, n := range running {
		text, err := n.get("/v1/federation/members")
		if err != nil {
			return err
		}
		var answer struct {
			Members []struct {
				Name   string `json:"name"`
				Status string `json:"status"`
			} `json:"members"`
		}
		if err := json.Unmarshal(text, &answer); err != nil {
			return err
		}
		alive := make(map[string]bool)
		for _, m := range answer.Members {
			alive[m.Name] = m.Status == "STATUS_ALIVE"
		}
		for _, other := range running {
			if !alive[other.name] {
				return fmt.Errorf("%s sees %s", n.name, text)
			}
		}
	}
	return nil
}
