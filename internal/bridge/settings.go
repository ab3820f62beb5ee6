package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// Settings are what the MQTT options of both public packages change.
type Settings struct {
	// Config is handed to the engine.
	Config engine.Config
	// Errs are problems of options, reported when the broker is first used.
	Errs []error
	// Ignored names options that have no effect here; each is logged once.
	Ignored []string
}

type settingsKey struct{}

type setting func(*Settings)

// Option makes a kratos-transport option of a change to the settings. The
// options of one broker are kept in its option context, in order.
func Option(set func(*Settings)) broker.Option {
	return func(o *broker.Options) {
		if o == nil {
			return
		}
		ctx := o.Context
		if ctx == nil {
			ctx = context.Background()
		}
		list, _ := ctx.Value(settingsKey{}).([]setting)
		o.Context = context.WithValue(ctx, settingsKey{}, append(list[:len(list):len(list)], set))
	}
}

// Ignore makes an option that has no effect, and says so.
func Ignore(name string) broker.Option {
	return Option(func(s *Settings) { s.Ignored = append(s.Ignored, name) })
}

// settingsOf joins the generic options with the MQTT ones, and takes the
// credentials out of the addresses.
func settingsOf(o *broker.Options) Settings {
	s := Settings{Config: engine.Config{Protocol: engine.Version31}}
	if o.Context != nil {
		list, _ := o.Context.Value(settingsKey{}).([]setting)
		for _, set := range list {
			set(&s)
		}
	}
	if len(o.Addrs) > 0 {
		addrs, err := engine.ParseAddresses(o.Addrs)
		if err != nil {
			s.Errs = append(s.Errs, err)
		}
		s.Config.Addresses = addrs
	}
	o.Addrs = o.Addrs[:0:0]
	for _, a := range s.Config.Addresses {
		o.Addrs = append(o.Addrs, a.String())
		if o.Secure && !a.Secure() {
			s.Errs = append(s.Errs, fmt.Errorf("a secure connection is asked for, but %s is not one: use mqtts or wss", a))
		}
	}
	if o.TLSConfig != nil {
		config := o.TLSConfig
		s.Config.TLS = func() (*tls.Config, error) { return config.Clone(), nil }
	}
	return s
}

func (s *Settings) err() error { return errors.Join(s.Errs...) }
