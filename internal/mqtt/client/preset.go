package client

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Preset has facts about a broker product that the broker does not announce. The versions
// are those that were measured.
type Preset struct {
	// Name is the value of the setting.
	Name string
	// Persistent is the protocol for sessions that have to survive a restart of the broker;
	// Auto if both do.
	Persistent session.Protocol
	// Clean is the protocol for clean sessions.
	Clean session.Protocol
	// NoShared is set if the broker grants $share and delivers nothing.
	NoShared bool
	// SharePrefix is the first level of shared filters where the configuration has none; ""
	// means $share.
	SharePrefix string
	// HandsOver is set if QoS 1 messages that wait in a session for a shared subscription go
	// to another member when the session ends. Otherwise they are lost.
	HandsOver bool
	// MaxQoS is the highest QoS that is asked for, because the broker grants no more. 0
	// means the QoS of the subscription.
	MaxQoS byte
	// SubscribeFilters is the maximum number of filters in a SUBSCRIBE on MQTT 3.1.1; 0
	// means the default, which every broker accepts.
	SubscribeFilters int
	// OwnNode is set if the broker reports that nobody subscribes (0x10) although a subscriber
	// is on another of its nodes, which gets the message. The report is then ignored.
	OwnNode bool
	// Delays is the prefix of topics by which the broker delays a message itself, before the
	// number of seconds and the topic; "" if it does not.
	Delays string
}

// presets lists the known brokers, by name.
func presets() []Preset {
	return []Preset{
		// By its documents, not run: MQTT 5 and 3.1.1 without QoS 2, in a SUBSCRIBE at most 8
		// filters, which is our default.
		{Name: "aws", Persistent: session.Version5, Clean: session.Version5, MaxQoS: 1},
		// By the documents of 5.0 to 6.3 and the source, not run: MQTT 5, $delayed, which is on by
		// default, and when a session ends, others get its share.
		{
			Name: "emqx", Persistent: session.Version5, Clean: session.Version5, Delays: "$delayed/",
			SharePrefix: topic.SharePrefix, HandsOver: true,
		},
		// 0.5.0 with federation: each node reports about its own subscriptions only.
		{Name: "gmqtt", Persistent: session.Version5, Clean: session.Version5, OwnNode: true},
		// 2.0.11 supports MQTT 5 well. It does not save a session whose CONNECT had Clean
		// Start, which is never set for sessions that are kept.
		{Name: "mosquitto", Persistent: session.Version5, Clean: session.Version5},
		// 2.15 supports MQTT 3.1.1 only.
		{Name: "nats", Persistent: session.Version31, Clean: session.Version31, NoShared: true},
		// 3.10 supports MQTT 3.1.1 only and grants QoS 1 for QoS 2.
		{Name: "rabbitmq", Persistent: session.Version31, Clean: session.Version31, NoShared: true, MaxQoS: 1},
	}
}

// FindPreset returns the preset with this name; the empty name returns the empty preset.
func FindPreset(name string) (Preset, error) {
	if name == "" {
		return Preset{}, nil
	}
	all := presets()
	if i := slices.IndexFunc(all, func(p Preset) bool { return p.Name == name }); i >= 0 {
		return all[i], nil
	}
	names := make([]string, 0, len(all))
	for _, p := range all {
		names = append(names, p.Name)
	}
	return Preset{}, fmt.Errorf("is not known, want one of %s", strings.Join(names, ", "))
}

// SelectsMQTT5 reports whether a configuration selects MQTT 5, by its protocol or its
// preset.
func SelectsMQTT5(c *v1.Connection) bool {
	var s Settings
	s.connection(c)
	speak(&s, &s.Config, func(string, string, ...any) {}) // problems are reported when the client is made
	_ = s.Config.identify()                               // the same
	return s.Config.protocol() == session.Version5
}

// speak sets the protocol and the preset.
func speak(s *Settings, cfg *Config, bad func(key, format string, args ...any)) {
	var err error
	if s.Protocol != "" {
		if cfg.Protocol, err = ParseProtocol(s.Protocol); err != nil {
			bad("protocol", "%w", err)
		}
		cfg.ForceAuto = s.Protocol == "auto"
	}
	if s.Preset != "" {
		if cfg.Preset, err = FindPreset(s.Preset); err != nil {
			bad("preset", "%w", err)
		}
	}
	def(&cfg.SharePrefix, cfg.Preset.SharePrefix)
	if a := cfg.Authenticator; a != nil {
		if cfg.Protocol == session.Version31 {
			bad("protocol", "is 3.1.1, which has no enhanced authentication, want 5")
		}
		if m := a.Method(); m == "" || checkText(m, math.MaxUint16) != nil {
			bad("protocol", "is for an authenticator whose method is not 1 to 65535 bytes of UTF-8")
		}
		cfg.Protocol, cfg.ForceAuto = session.Version5, false
	}
}

// ParseProtocol reads "auto", "3.1.1" or "5"; empty is auto.
func ParseProtocol(s string) (session.Protocol, error) {
	switch s {
	case "", "auto":
		return session.Auto, nil
	case "3.1.1":
		return session.Version31, nil
	case "5":
		return session.Version5, nil
	}
	return session.Auto, errors.New("is not known, want auto, 3.1.1 or 5")
}
