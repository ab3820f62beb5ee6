package bridge

import (
	"errors"
	"slices"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// allowed are the names of Kratos metadata that is taken from senders that are not
// trusted, in lower case; one that ends with * allows all that begin with the rest.
type allowed []string

// newAllowed reports names that could never count.
func newAllowed(names []string) (a allowed, err error) {
	for _, name := range names {
		if name = strings.ToLower(name); !strings.HasPrefix(name, metadataPrefix) {
			err = errors.Join(err, event.Setting("Subscriber", "allowed_metadata", "%q does not begin with %s, as Kratos metadata does", name, metadataPrefix))
		}
		a = append(a, name)
	}
	return a, err
}

func (a allowed) has(name string) bool {
	return slices.ContainsFunc(a, func(want string) bool {
		if prefix, ok := strings.CutSuffix(want, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		return name == want
	})
}

// RequestHeader is the header for whoever takes context from it, as Kratos'
// middleware for metadata and tracing does. Of a sender that is not trusted it has
// no trace context, no baggage, and only the metadata that is allowed.
func (e *Event) RequestHeader() []client.UserProperty {
	if e.trusted || !slices.ContainsFunc(e.header, e.state.isContext) {
		return e.header
	}
	list := make([]client.UserProperty, 0, len(e.header))
	for _, u := range e.header {
		name := strings.ToLower(u.Key)
		switch {
		case e.state.propagates(name):
		case strings.HasPrefix(name, metadataPrefix) && !e.state.allowed.has(name):
			e.state.broker.metadataRefused.Add(1)
		default:
			list = append(list, u)
		}
	}
	return list
}

func (s *state) isContext(u client.UserProperty) bool {
	name := strings.ToLower(u.Key)
	return strings.HasPrefix(name, metadataPrefix) || s.propagates(name)
}

// contextFields returns the headers, in lower case, that our propagator and
// OpenTelemetry's global one use, in case they are none of the well-known ones of
// [state.propagates].
func contextFields(own func() propagation.TextMapPropagator) (names []string) {
	fields := otel.GetTextMapPropagator().Fields()
	if own != nil {
		fields = append(fields, own().Fields()...)
	}
	for _, f := range fields {
		// Kratos' has a field of metadata, which the list of what is allowed is for.
		if name := strings.ToLower(f); !strings.HasPrefix(name, metadataPrefix) {
			names = append(names, name)
		}
	}
	return names
}

// propagates reports whether a header, in lower case, carries trace context or
// baggage.
func (s *state) propagates(name string) bool {
	switch name {
	case "traceparent", "tracestate", "baggage", "b3", "uber-trace-id", "x-amzn-trace-id":
		return true
	}
	for _, prefix := range []string{"x-b3-", "uberctx-", "ot-tracer-", "ot-baggage-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains(s.contextFields, name)
}
