package bridge

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// Message is a message on its way out.
type Message = envelope.Message

// newEnvelope resolves how messages are written and read.
func (s *state) newEnvelope(from *Settings) (*envelope.Settings, error) {
	trust, err := envelope.NewTrust(from.AllowedMetadata, contextFields(from.Propagator))
	e := &envelope.Settings{
		Codecs: from.Codecs, Codec: from.DefaultCodec, MaxPayload: s.cfg.MaxPayload, MaxInbound: s.cfg.MaxInbound, IDs: from.IDs,
		Metadata: from.Metadata, Trust: trust, Losses: &s.broker.losses, CheckHeaders: s.numberable,
		Speaks: func() client.Protocol { return s.client.Speaks() },
	}
	if source := from.CloudEvents; source != nil {
		e.Source = *source
	}
	return e, err
}

// contextFields returns the headers that our propagator and OpenTelemetry's global
// one use.
func contextFields(own func() propagation.TextMapPropagator) []string {
	fields := otel.GetTextMapPropagator().Fields()
	if own != nil {
		fields = append(fields, own().Fields()...)
	}
	return fields
}

// Codec returns the codec of a name, or that of the settings when it is empty, which
// is nil where only bytes and texts are sent and received.
func (b *Broker) Codec(name string) (envelope.Codec, error) { return b.state().envelope.Named(name) }
