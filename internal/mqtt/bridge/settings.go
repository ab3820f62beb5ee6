package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"time"

	"go.opentelemetry.io/otel/propagation"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/hook"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
)

// Settings are what the options of the fronts change. They hold
// secrets and must not be printed.
type Settings struct {
	// Config is handed to the engine. Addresses, and TLS where files are
	// named, are filled in when it is.
	Config client.Config
	// TLS is the TLS configuration set in code; nil leaves it to the files. Secure
	// wants one.
	TLS    *tls.Config
	Secure bool
	// Codec is checked to be registered; empty checks nothing. Codecs returns the one
	// of a name, nil for one that is not known, and DefaultCodec is that of messages
	// that name none; nil sends and receives bytes and texts.
	Codec        string
	Codecs       func(name string) envelope.Codec
	DefaultCodec envelope.Codec
	// Metadata returns the headers that the context of a publish asks for; nil has
	// none.
	Metadata func(ctx context.Context) []client.UserProperty
	// Publish sends a request or a reply the way the user's own messages go, with
	// middleware around it, and ends with [Broker.Deliver]. Nil is that at once.
	Publish func(ctx context.Context, m *Message) error
	// Resolved is called each time that the settings are resolved, and reports what is
	// wrong with those of the front. Nil has none.
	Resolved func() error
	// Protocol is "auto", "3.1.1" or "5"; empty leaves it to the preset.
	Protocol string
	// Preset names what is known of the broker; empty for nothing.
	Preset string
	// Files name the TLS files; nil for none.
	Files *TLSFiles
	// ALPN are the protocols that TLS offers; empty offers none.
	ALPN []string
	// Proxy is the URL of one, which may have secrets, or "environment"; empty for
	// none.
	Proxy string
	// Strict refuses what is otherwise a warning: secrets in clear text.
	Strict bool
	// Trace makes spans with OpenTelemetry's global provider.
	Trace bool
	// Propagator returns that of trace context, which alone makes no spans; nil is
	// kratos-transport's default.
	Propagator func() propagation.TextMapPropagator
	// AllowedMetadata names what is taken from senders that are not trusted.
	AllowedMetadata []string
	// CloudEvents is the source of the carrier's events; nil is no carrier.
	CloudEvents *string
	// ReplyTopics are templates of response topics, nil is the default, and
	// UnboundReplyTopics those for anybody.
	ReplyTopics        []string
	UnboundReplyTopics []string
	// ReplyLimits bound replies.
	ReplyLimits request.Limits
	// Hooks are the user's, checked when the settings are resolved.
	Hooks []any
	// Retry is how publishes are tried again.
	Retry Retry
	// Sequence numbers the messages of each topic.
	Sequence bool
	// IDs also sets ids on ready bytes.
	IDs bool
	// Outbox takes what is published; nil sends it at once.
	Outbox *Outbox
	// Dedup remembers the ids of handled messages; nil remembers none.
	Dedup dedup.Window
	// OnDisconnect is told why a connection was lost.
	OnDisconnect func(error)

	subscriber   *v1.Subscriber
	overShare    string                // of the configuration of dead letters
	zeros        []*event.SettingError // settings that 0 means nothing to
	noConnection bool                  // the service's configuration has none
	headerTwice  []string
	ignored      []string
	addresses    []client.Address // parsed from Addrs of the generic options
	addressErr   error
}

// Ignore notes an option that has no effect, which the log tells.
func (s *Settings) Ignore(name string) { s.ignored = append(s.ignored, name) }

// TakeAddresses takes the URLs of brokers, and returns them without user
// information, which is kept. An address that is there from an earlier turn keeps its
// own.
func (s *Settings) TakeAddresses(raw []string) []string {
	known := make(map[string]client.Address, len(s.addresses))
	for _, a := range s.addresses {
		known[a.String()] = a
	}
	shown := make([]string, 0, len(raw))
	if len(raw) == 0 {
		return shown
	}
	s.addresses, s.addressErr = nil, nil
	parsed, err := client.ParseAddresses(raw)
	if err != nil {
		s.addressErr = err
		return shown
	}
	for i, url := range raw { // one address for each
		a := parsed[i]
		if old, ok := known[url]; ok {
			a = old
		}
		s.addresses = append(s.addresses, a)
		shown = append(shown, a.String())
	}
	return shown
}

// resolve returns the engine's configuration and every problem that the engine
// does not see.
func (s *Settings) resolve() (client.Config, error) {
	cfg := s.Config
	cfg.Addresses = s.addresses
	var errs []error
	if s.addressErr != nil {
		errs = append(errs, event.Setting("Connection", "addresses", "%w", s.addressErr))
		cfg.Addresses = make([]client.Address, 1) // or the engine reports that there is none
	}
	bad := func(key, format string, args ...any) {
		errs = append(errs, event.Setting("Connection", key, format, args...))
	}
	for _, zero := range s.zeros {
		errs = append(errs, zero)
	}
	if s.noConnection {
		errs = append(errs, errors.New("the configuration has no connection"))
	}
	for _, name := range s.headerTwice {
		bad("websocket_headers", "has %s twice: names of headers differ in more than case", name)
	}
	var err error
	if cfg.Protocol, err = client.ParseProtocol(s.Protocol); err != nil {
		bad("protocol", "%w", err)
	}
	cfg.ForceAuto = s.Protocol == "auto"
	if err = s.resolveUnmatched(&cfg); err != nil {
		errs = append(errs, err)
	}
	if err = s.resolveOverShare(&cfg); err != nil {
		errs = append(errs, err)
	}
	if cfg.Preset, err = client.FindPreset(s.Preset); err != nil {
		bad("preset", "%w", err)
	}
	errs = append(errs, noNil("store for dead letters", cfg.DeadLetters), noNil("dedup window", s.Dedup))
	if s.CloudEvents != nil {
		errs = append(errs, envelope.CheckSource(*s.CloudEvents))
	}
	if _, err = hook.New(s.Hooks, nil); err != nil {
		errs = append(errs, err)
	}
	if s.Codec != "" && (s.Codecs == nil || s.Codecs(s.Codec) == nil) {
		errs = append(errs, fmt.Errorf("codec %q is not registered", s.Codec))
	}
	if k := cfg.KeepAlive; k > 0 && k < time.Second {
		bad("keep_alive", "is %v, want at least 1s", k)
	}
	if err = s.reach(&cfg, s.TLS); err != nil {
		errs = append(errs, err)
	} else if s.Strict {
		for _, r := range s.risks(&cfg) {
			bad(r.key, "%s; strict settings refuse it", r.text)
		}
	}
	for _, a := range s.addresses {
		if (s.Secure || cfg.TLS != nil) && !a.Secure() {
			bad("addresses", "TLS is asked for, but %s is a plain address: use mqtts", a)
		}
	}
	return cfg, errors.Join(errs...)
}

func (s *Settings) resolveOverShare(cfg *client.Config) error {
	switch s.overShare {
	case "":
	case overShareDrop, overShareBlock:
		cfg.BlockOverShare = s.overShare == overShareBlock
	default:
		return event.Setting("DeadLetters", "over_share", "is %q, want %s or %s", s.overShare, overShareDrop, overShareBlock)
	}
	return nil
}

// noNil refuses a nil pointer in an interface, which is what a store becomes whose
// error of Open was ignored: it is not nil, and would end the process later.
func noNil(what string, v any) error {
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
		return fmt.Errorf("the %s is a nil %T", what, v)
	}
	return nil
}

// tls returns the source of the TLS configuration: config, which was set in
// code, or else the files, which are read anew for each connection, so that a
// rotation needs no restart.
func (s *Settings) tls(config *tls.Config) (func() (*tls.Config, error), error) {
	if config != nil {
		return func() (*tls.Config, error) { return config.Clone(), nil }, nil
	}
	if s.Files == nil {
		return nil, nil
	}
	_, err := s.Files.load()
	return s.Files.load, err
}
