package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Preset is what is known of a broker beyond what it says of itself. The
// versions are those that were measured.
type Preset struct {
	// Name is the value of the setting.
	Name string
	// Persistent is the protocol for sessions that have to survive a restart
	// of the broker; Auto where both do.
	Persistent session.Protocol
	// Clean is the protocol for clean sessions.
	Clean session.Protocol
	// NoShared says that the broker grants $share and delivers nothing.
	NoShared bool
	// MaxQoS is the highest level that the broker grants; no more is asked for. 0
	// leaves it to the broker's answer.
	MaxQoS byte
	// SubscribeFilters is the most filters in one SUBSCRIBE on MQTT 3.1.1; 0 is the
	// default, which every broker takes.
	SubscribeFilters int
}

// presets lists the known brokers, by name.
func presets() []Preset {
	return []Preset{
		// 2.0.11 speaks 5 well. It does not save a session whose CONNECT had
		// Clean Start, which ours that are to be kept never have.
		{Name: "mosquitto", Persistent: session.Version5, Clean: session.Version5},
		// 2.15 speaks 3.1.1 only.
		{Name: "nats", Persistent: session.Version31, Clean: session.Version31, NoShared: true},
		// 3.10 speaks 3.1.1 only and grants QoS 2 as 1.
		{Name: "rabbitmq", Persistent: session.Version31, Clean: session.Version31, NoShared: true, MaxQoS: 1},
	}
}

// FindPreset returns the preset of that name; the empty name is the one that
// knows nothing.
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
