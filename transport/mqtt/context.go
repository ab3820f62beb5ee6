package mqtt

import (
	"context"

	"github.com/go-kratos/kratos/v2/transport"
)

// handling is the context of one attempt with its Transport: one allocation for
// both.
type handling struct {
	context.Context
	transport Transport
}

// Value implements context.Context.
func (h *handling) Value(key any) any {
	if key == serverKey {
		return &h.transport
	}
	return h.Context.Value(key)
}

// serverKey is the key under which Kratos looks for the transport of a server in a
// context. Kratos does not export it, so it is recorded here from a lookup.
var serverKey = func() any { //nolint:gochecknoglobals // never changes
	asked := keyContext{Context: context.Background(), key: new(any)}
	_, _ = transport.FromServerContext(asked)
	return *asked.key
}()

// keyContext records the key of a lookup.
type keyContext struct {
	context.Context
	key *any
}

// Value implements context.Context.
func (c keyContext) Value(key any) any {
	*c.key = key
	return nil
}
