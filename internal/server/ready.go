package server

import (
	"context"
	"time"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/middleware"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// readiness is the part of the MQTT server that the gate needs.
type readiness interface {
	// WaitReady returns nil once connected and every filter is granted.
	WaitReady(context.Context) error
}

// ReadyGate holds reports back until the subscribers of this process are
// subscribed: HTTP answers earlier than that, and what a broker accepts before
// anybody has subscribed reaches nobody.
type ReadyGate struct {
	subscriber readiness // nil when this process does not subscribe
}

// NewReadyGate returns the gate of a process with this MQTT server, open when
// it is nil: then the subscriber is another process, whose persistent session
// keeps what it misses.
func NewReadyGate(srv *mqttserver.Server) *ReadyGate {
	if srv == nil {
		return &ReadyGate{}
	}
	return &ReadyGate{subscriber: srv}
}

// Middleware makes a request wait for readiness within three quarters of the
// time it has, which leaves the rest for publishing; then it is a Kratos 503.
func (g *ReadyGate) Middleware() middleware.Middleware {
	return func(next middleware.Handler) middleware.Handler {
		if g.subscriber == nil {
			return next
		}
		return func(ctx context.Context, req any) (any, error) {
			if err := g.wait(ctx); err != nil {
				return nil, errors.ServiceUnavailable(reportv1.ErrorReason_NOT_READY.String(),
					"not yet subscribed at the broker, nothing was accepted").WithCause(err)
			}
			return next(ctx, req)
		}
	}
}

func (g *ReadyGate) wait(ctx context.Context) error {
	limit := defaultTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = time.Until(deadline)
	}
	ctx, cancel := context.WithTimeout(ctx, limit*3/4)
	defer cancel()
	return g.subscriber.WaitReady(ctx)
}
