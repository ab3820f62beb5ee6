package envelope

import (
	"errors"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// MetadataPrefix begins the names of Kratos metadata, in lower case.
const MetadataPrefix = "x-md-"

// Trust configures which context of a message is accepted from untrusted senders. The zero
// value accepts none of the well-known kinds.
type Trust struct {
	metadata []string // that is allowed, in lower case
	fields   []string // headers of propagators, in lower case
}

// NewTrust allows metadata by its names; one that ends with * allows all that begin
// with the rest. fields are the headers that the propagators of the process use, in
// case they are none of the well-known ones. It reports names that could never count;
// the value is there also with an error.
func NewTrust(metadata, fields []string) (t Trust, err error) {
	for _, name := range metadata {
		if name = strings.ToLower(name); !strings.HasPrefix(name, MetadataPrefix) {
			err = errors.Join(err, event.NewSettingError("Subscriber", "allowed_metadata", "%q does not begin with %s, as Kratos metadata does", name, MetadataPrefix))
		}
		t.metadata = append(t.metadata, name)
	}
	for _, f := range fields {
		// Kratos' propagator has a field of metadata, which has a list of its own.
		if name := strings.ToLower(f); !strings.HasPrefix(name, MetadataPrefix) {
			t.fields = append(t.fields, name)
		}
	}
	return t, err
}

func (t *Trust) allows(name string) bool {
	return slices.ContainsFunc(t.metadata, func(want string) bool {
		if prefix, ok := strings.CutSuffix(want, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		return name == want
	})
}

func (t *Trust) isContext(u session.UserProperty) bool {
	name := strings.ToLower(u.Key)
	return strings.HasPrefix(name, MetadataPrefix) || t.propagates(name)
}

// propagates reports whether a header, in lower case, carries trace context or
// baggage.
func (t *Trust) propagates(name string) bool {
	switch name {
	case "traceparent", "tracestate", "baggage", "b3", "uber-trace-id", "x-amzn-trace-id":
		return true
	}
	for _, prefix := range []string{"x-b3-", "uberctx-", "ot-tracer-", "ot-baggage-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains(t.fields, name)
}
