package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// Preset is the cluster that [Scripted] imitates: where it keeps sessions, how it shares
// messages within a group, and when its nodes learn of each other. It does not imitate MQTT
// versions, sizes or speed. Unless noted, presets are made from measurements of the real
// program.
type Preset string

// The presets.
const (
	// Plain is the zero value: replicated sessions, groups in turn, no delay. It loses nothing.
	Plain Preset = ""
	// LikeGMQTT is gmqtt 0.5.0 with federation: each node has sessions of its own in memory,
	// groups go to the nodes in turn, also to members that are away, and a killed node is
	// noticed after 5 s.
	LikeGMQTT Preset = "gmqtt"
	// LikeComqtt is comqtt 2.6.5: each node has sessions of its own, groups prefer members on
	// the publisher's node, other nodes learn of a subscription later, and go on to route to a
	// killed node, here for 30 s.
	LikeComqtt Preset = "comqtt"
	// LikeEMQX is EMQX 5 by its documentation, not measured: a session is in the memory of one
	// node and moves with its client, groups are served in turn, also members that are away,
	// and their messages go to another member if a session ends.
	LikeEMQX Preset = "emqx"
	// LikeNATS is NATS 2.15 with JetStream: replicated sessions, and groups that are granted
	// but receive nothing.
	LikeNATS Preset = "nats"
	// LikeRabbitMQ is RabbitMQ 3.10 with mirrored queues: replicated sessions, QoS 1 at most,
	// 10 messages in flight, and groups that are granted but receive nothing.
	LikeRabbitMQ Preset = "rabbitmq"
	// LikeEjabberd is ejabberd 23.01: a session is in the memory of one node and moves with its
	// client, one message is in flight, and no groups.
	LikeEjabberd Preset = "ejabberd"
)

// Presets returns all presets, sorted by name.
func Presets() []Preset {
	return []Preset{Plain, LikeComqtt, LikeEjabberd, LikeEMQX, LikeGMQTT, LikeNATS, LikeRabbitMQ}
}

// Validate returns an error if there is no such preset.
func (p Preset) Validate() error {
	if !slices.Contains(Presets(), p) {
		return fmt.Errorf("preset %q of a cluster does not exist; there are %q", string(p), Presets())
	}
	return nil
}

// Shares reports whether the cluster serves shared subscriptions.
func (p Preset) Shares() bool {
	return p != LikeNATS && p != LikeRabbitMQ && p != LikeEjabberd
}

// Options returns the options of the in-process broker, without the number of nodes.
func (p Preset) Options() []broker.Option {
	switch p {
	case LikeGMQTT:
		return []broker.Option{
			broker.Sessions(broker.PerNode), broker.ShareBy(broker.NodesInTurn), broker.ShareWithAway(),
			broker.SharedStaysWithSession(), broker.StaleFor(5 * time.Second),
		}
	case LikeComqtt:
		return []broker.Option{
			broker.Sessions(broker.PerNode), broker.ShareBy(broker.LocalFirst), broker.SharedStaysWithSession(),
			broker.SpreadAfter(500 * time.Millisecond), broker.StaleFor(30 * time.Second),
		}
	case LikeEMQX:
		return []broker.Option{broker.Sessions(broker.Moving), broker.ShareWithAway()}
	case LikeNATS:
		return []broker.Option{broker.ShareBy(broker.Nobody)}
	case LikeRabbitMQ:
		return []broker.Option{broker.ShareBy(broker.Nobody), broker.MaxQoS(1), broker.MaxInflight(10)}
	case LikeEjabberd:
		return []broker.Option{broker.ShareBy(broker.Nobody), broker.Sessions(broker.Moving), broker.MaxInflight(1)}
	default:
		return nil
	}
}
