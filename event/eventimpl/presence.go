package eventimpl

import (
	"context"

	"google.golang.org/protobuf/types/known/emptypb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// PresenceMethod is the name of the method that presence is handled under:
// middleware selects it as /pkg.Service/Presence.
const PresenceMethod = "Presence"

// PresenceCodec encodes presence, so that everybody can read it.
const PresenceCodec = "json"

// WatchPresence subscribes handler to the presence of a service's instances.
func WatchPresence(s event.ServiceRegistrar, d *event.ServiceDesc, handler func(context.Context, *v1.Presence) error, opts ...event.RegisterOption) {
	watch := &event.ServiceDesc{Name: d.Name, File: d.File, Methods: []event.MethodDesc{{
		Name: PresenceMethod, Operation: "/" + d.Name + "/" + PresenceMethod,
		Topic: d.Presence.Topic, Filters: []string{d.Presence.Filter},
		QoS: d.Presence.QoS, Retain: true, Codec: PresenceCodec,
	}}}
	call := func(ctx context.Context, p *v1.Presence) (*emptypb.Empty, error) { return nil, handler(ctx, p) }
	s.RegisterService(watch, []event.Handler{NewHandler(&watch.Methods[0], call)}, opts...)
}
