package mqtt

import (
	// The codecs of generated code.
	_ "github.com/go-kratos/kratos/v2/encoding/json"
	_ "github.com/go-kratos/kratos/v2/encoding/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

var _ event.ServiceRegistrar = (*Server)(nil)

// RegisterService subscribes the handlers of a generated service, one
// subscription for each topic filter; generated code calls it. Middleware
// selects, and the configuration names, a method by its operation,
// /pkg.Service/Method; middleware sees the message with the fields of its topic.
// What a method says of group, retry and dead letters is a default: an option in
// code, and the configuration of the operation, take precedence over it.
//
// It returns nothing, as with Kratos' other servers: everything that is wrong,
// with the options too, is reported by Start, all at once and each time, and
// nothing is started then. After Start it waits for the SUBACK, and what is
// wrong is logged as well.
//
// A message whose payload contradicts its topic is handled with what the topic
// says, counted as TopicMismatches of the health, and logged once for a method.
func (s *Server) RegisterService(d *event.ServiceDesc, handlers []event.Handler, opts ...event.RegisterOption) {
	s.operations.RegisterService(d, handlers, opts...)
}
