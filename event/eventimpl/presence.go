package eventimpl

import (
	"context"

	"google.golang.org/protobuf/types/known/emptypb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// PresenceMethod is the name of the method that handles presence: its operation is
// /pkg.Service/Presence.
const PresenceMethod = "Presence"

// PresenceCodec encodes presence messages in a form that any client can read.
const PresenceCodec = "json"

// WatchPresence registers handler for the presence messages of the instances of a service. The
// handler is called concurrently for different topics.
func WatchPresence(s event.ServiceRegistrar, d *event.ServiceDesc, handler func(context.Context, *v1.Presence) error, opts ...event.RegisterOption) {
	watch := &event.ServiceDesc{Name: d.Name, File: d.File, Methods: []event.MethodDesc{{
		Name: PresenceMethod, Operation: "/" + d.Name + "/" + PresenceMethod,
		Topic: d.Presence.Topic, Filters: []string{d.Presence.Filter},
		QoS: d.Presence.QoS, Retain: true, Codec: PresenceCodec,
	}}}
	call := func(ctx context.Context, p *v1.Presence) (*emptypb.Empty, error) { return nil, handler(ctx, p) }
	s.RegisterService(watch, []event.Handler{NewHandler(&watch.Methods[0], call)}, opts...)
}
