package bridge

import (
	"time"

	"github.com/tx7do/kratos-transport/broker"
)

// requestTimeout bounds a request whose context has no deadline, as in
// kratos-transport.
const requestTimeout = 10 * time.Second

// RequestSettings are what the MQTT request options change.
type RequestSettings struct {
	// Binder makes the value to decode the reply into; nil leaves its bytes.
	Binder broker.Binder
}

// RequestOption makes a kratos-transport option of a change to one request.
func RequestOption(set func(*RequestSettings)) broker.RequestOption {
	return func(o *broker.RequestOptions) {
		if o != nil {
			o.Context = change(o.Context, set)
		}
	}
}

func readRequestOptions(opts []broker.RequestOption) (broker.RequestOptions, RequestSettings) {
	var (
		o broker.RequestOptions
		s RequestSettings
	)
	c := &carrier[RequestSettings]{settings: &s}
	c.keep(&o.Context)
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
			c.keep(&o.Context)
		}
	}
	o.Context = c.release(o.Context)
	return o, s
}
