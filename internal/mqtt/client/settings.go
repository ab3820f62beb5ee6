package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	store "github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
)

// Settings are what the options of the fronts change, until [New] resolves them. They
// hold secrets and must not be printed. They are not safe for concurrent use.
type Settings struct {
	// Config is what needs no other form. What the other fields say counts over it.
	Config Config
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
	Metadata func(ctx context.Context) []UserProperty
	// Publish sends a request or a reply the way the user's own messages go, with
	// middleware around it, and ends with [Client.Deliver]. Nil is that at once.
	Publish func(ctx context.Context, m *Outgoing) error
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
	// Hooks are the user's.
	Hooks []any
	// Retry is how publishes are tried again.
	Retry Retry
	// Sequence numbers the messages of each topic.
	Sequence bool
	// IDs also sets ids on ready bytes.
	IDs bool
	// Outbox takes what is published; nil sends it at once.
	Outbox *Outbox

	overShare    string                // of the configuration of dead letters
	zeros        []*event.SettingError // settings that 0 means nothing to
	noConnection bool                  // the service's configuration has none
	headerTwice  []string
	ignored      []string
	addressErr   error
}

// Ignore notes an option that has no effect, which the log tells.
func (s *Settings) Ignore(name string) { s.ignored = append(s.ignored, name) }

// TakeAddresses takes the URLs of brokers, and returns them without user
// information, which is kept. An address that is there from an earlier turn keeps its
// own.
func (s *Settings) TakeAddresses(raw []string) []string {
	known := make(map[string]Address, len(s.Config.Addresses))
	for _, a := range s.Config.Addresses {
		known[a.String()] = a
	}
	shown := make([]string, 0, len(raw))
	if len(raw) == 0 {
		return shown
	}
	s.Config.Addresses, s.addressErr = nil, nil
	parsed, err := ParseAddresses(raw)
	if err != nil {
		s.addressErr = err
		return shown
	}
	for i, url := range raw { // one address for each
		a := parsed[i]
		if old, ok := known[url]; ok {
			a = old
		}
		s.Config.Addresses = append(s.Config.Addresses, a)
		shown = append(shown, a.String())
	}
	return shown
}

// resolve returns the configuration, which does not change any more, and every problem
// that the configuration alone does not show.
func (s *Settings) resolve() (Config, error) {
	cfg := s.Config
	var errs []error
	if s.addressErr != nil {
		errs = append(errs, event.Setting("Connection", "addresses", "%w", s.addressErr))
		cfg.Addresses = make([]Address, 1) // or it would be reported that there is none
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
	if s.Protocol != "" {
		if cfg.Protocol, err = ParseProtocol(s.Protocol); err != nil {
			bad("protocol", "%w", err)
		}
		cfg.ForceAuto = s.Protocol == "auto"
	}
	if err = checkUnmatched(&cfg); err != nil {
		errs = append(errs, err)
	}
	if err = s.resolveOverShare(&cfg); err != nil {
		errs = append(errs, err)
	}
	if s.Preset != "" {
		if cfg.Preset, err = FindPreset(s.Preset); err != nil {
			bad("preset", "%w", err)
		}
	}
	errs = append(errs, noNil("store for dead letters", cfg.DeadLetters), noNil("dedup window", cfg.Dedup))
	if s.CloudEvents != nil {
		errs = append(errs, envelope.CheckSource(*s.CloudEvents))
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
	for _, a := range s.Config.Addresses {
		if (s.Secure || cfg.TLS != nil) && !a.Secure() {
			bad("addresses", "TLS is asked for, but %s is a plain address: use mqtts", a)
		}
	}
	return cfg, errors.Join(errs...)
}

func (s *Settings) resolveOverShare(cfg *Config) error {
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

// checkUnmatched reports every problem with what becomes of messages and filters without
// a subscription, by its key.
func checkUnmatched(cfg *Config) error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, event.Setting("Subscriber", key, format, args...))
	}
	if g := cfg.UnmatchedGrace; g != nil && *g < 0 {
		bad("unmatched_grace", "is %v, want 0s or more", *g)
	}
	switch cfg.Unmatched {
	case "", event.UnmatchedDeadLetter, event.UnmatchedDrop:
	default:
		bad("unmatched", "is not known, want %s or %s", event.UnmatchedDeadLetter, event.UnmatchedDrop)
	}
	if cfg.SharePrefix != "" {
		if err := ValidateSharePrefix(cfg.SharePrefix); err != nil {
			bad("shared_group_prefix", "%w", err)
		}
	}
	for i, f := range cfg.PreviousFilters {
		if err := ValidateFilter(f); err != nil {
			bad(fmt.Sprintf("previous_filters[%d]", i), "%w", err)
		}
	}
	return errors.Join(errs...)
}

// replies resolves where replies may go, and how many.
func (s *Settings) replies() (rules request.Rules, err error) {
	if s.ReplyTopics != nil {
		rules.Topics, err = request.ParseTemplates(s.ReplyTopics, true)
	}
	unbound, bad := request.ParseTemplates(s.UnboundReplyTopics, false)
	rules.Unbound, rules.Limits = unbound, s.ReplyLimits.Resolved()
	if err != nil {
		err = event.Setting("Subscriber", "replies.topics", "%w", err)
	}
	if bad != nil {
		bad = event.Setting("Subscriber", "replies.unbound_topics", "%w", bad)
	}
	return rules, errors.Join(err, bad)
}

// Outbox are the settings of an outbox.
type Outbox = outbox.Settings

// OutboxOption is an option of the outbox.
type OutboxOption = outbox.Option

// SetOutbox makes publishes go through a store.
func (s *Settings) SetOutbox(to store.Store, opts []OutboxOption) {
	s.Outbox = &Outbox{Store: to}
	for _, o := range opts {
		if o != nil {
			o(s.Outbox)
		}
	}
}

// Format writes no setting, whatever the verb, because some are secrets.
func (s *Settings) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "mqtt settings") }
