package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// conclude chooses the preset and the settings that fit the findings.
func (r *Report) conclude() {
	old, five := slices.Contains(r.Protocols, wire.V311.String()), slices.Contains(r.Protocols, wire.V5.String())
	refused := r.find(checkConnect, wire.V5.String()).Grade == Missing
	groups := r.find(checkShared, "").Grade != Missing
	switch {
	case !old && !five:
		r.Reason = "the broker accepted no connection"
		return
	case strings.Contains(strings.ToLower(r.Product), "mosquitto") && five:
		r.Preset, r.Reason = "mosquitto", "the broker calls itself "+r.Product
	case old && refused && !groups && r.find(checkQoS, wire.V311.String()).Values["qos_2"] != "2":
		r.Preset, r.Reason = "rabbitmq", "MQTT 3.1.1 only, no QoS 2, and groups that deliver nothing: these are its properties"
	case old && refused && !groups:
		r.Preset, r.Reason = "nats", "MQTT 3.1.1 only, with groups that deliver nothing: these are its properties"
	case five:
		r.Reason = "no preset is needed: the broker announces what it can do"
	case old:
		r.Reason = "no preset fits, and none is needed with this protocol"
	}
	switch {
	case r.Preset != "":
		r.Settings = append(r.Settings, "connection.preset: "+r.Preset)
	case refused:
		r.Settings = append(r.Settings, `connection.protocol: "3.1.1"`)
	case r.find(checkConnect, wire.V311.String()).Grade == Missing:
		r.Settings = append(r.Settings, `connection.protocol: "5"`)
	}
	r.limits()
}

// limits adds the settings that keep to the limits of the broker.
func (r *Report) limits() {
	for _, f := range r.Findings {
		if largest, ok := f.Values["largest"].(int); ok && f.Grade == Limited {
			line := fmt.Sprintf("publisher.max_payload: %d", largest)
			if !slices.Contains(r.Settings, line) {
				r.Settings = append(r.Settings, line)
			}
		}
	}
}
