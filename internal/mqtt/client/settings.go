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
	"go.opentelemetry.io/otel/trace"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
)

// Settings are what the options of the fronts change, until [New] resolves them. They
// hold secrets and must not be printed. They are not safe for concurrent use.
type Settings struct {
	// Config has the settings that need no other form. The other fields take precedence.
	Config Config
	// TLS is the TLS configuration set in code; nil means that of the files. Secure
	// requires TLS.
	TLS    *tls.Config
	Secure bool
	// Codec must be registered, unless it is empty. Codecs returns the codec with a name,
	// or nil if it is not known.
	Codec  string
	Codecs func(name string) envelope.Codec
	// Bind, unless nil, is called once by the front with a function that returns the client
	// of the settings as they are at the time.
	Bind func(client func() (*Client, error))
	// Publish sends a request or a reply through the same middleware as the user's own
	// messages, and ends with [Client.Publish]. Nil means [Client.Publish] alone.
	Publish func(ctx context.Context, m *Outgoing) error
	// Protocol is "auto", "3.1.1" or "5"; empty leaves it to the preset.
	Protocol string
	// Preset is the name of the broker product; empty means unknown.
	Preset string
	// Files are the names of the TLS files; nil means none.
	Files *TLSFiles
	// ALPN are the protocols offered by TLS; empty offers none.
	ALPN []string
	// Proxy is the URL of a proxy, which may have secrets, or "environment"; empty means
	// none.
	Proxy string
	// Strict makes an error of what is otherwise a warning: secrets in clear text.
	Strict bool
	// TracerProvider returns the provider of spans; nil creates none.
	TracerProvider func() trace.TracerProvider
	// Propagator returns the propagator of trace context, which alone creates no spans; nil
	// means W3C trace context and baggage.
	Propagator func() propagation.TextMapPropagator
	// Spans are those of both, made by the front.
	Spans *Spans
	// AllowedMetadata names the metadata that is accepted from senders that are not
	// trusted.
	AllowedMetadata []string
	// CloudEvents is the source of the carrier's events; nil means no carrier.
	CloudEvents *string
	// ReplyTopics are templates of response topics; nil means the default.
	// UnboundReplyTopics are those that every requester may use.
	ReplyTopics        []string
	UnboundReplyTopics []string
	// ReplyLimits bound replies.
	ReplyLimits request.Limits
	// Hooks are the user's.
	Hooks []any
	// Retry is how publishes are retried.
	Retry Retry
	// Sequence numbers the messages of each topic.
	Sequence bool
	// IDs also sets ids on messages whose payload is ready bytes.
	IDs bool
	// SentAt adds the time of publishing to messages with headers.
	SentAt bool
	// Outbox stores what is published before it is sent; nil sends it at once.
	Outbox *Outbox

	overShare    string                // from the configuration of dead letters
	zeros        []*event.SettingError // settings that are 0, which they must not be
	noConnection bool                  // the service's configuration has no connection part
	headerTwice  []string
	ignored      []string
	addressErr   error
}

// Ignore records an option that has no effect, which is logged.
func (s *Settings) Ignore(name string) { s.ignored = append(s.ignored, name) }

// TakeAddresses sets the URLs of brokers. It returns them without user information, which
// is kept. An address that was set before keeps its user information.
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
	if err := cfg.readPassword(); err != nil {
		errs = append(errs, err)
	}
	if s.addressErr != nil {
		errs = append(errs, event.NewSettingError("Connection", "addresses", "%w", s.addressErr))
		cfg.Addresses = make([]Address, 1) // or the missing address would be reported, too
	}
	bad := func(key, format string, args ...any) {
		errs = append(errs, event.NewSettingError("Connection", key, format, args...))
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
	speak(s, &cfg, bad)
	if err = checkUnmatched(&cfg); err != nil {
		errs = append(errs, err)
	}
	if err = s.resolveOverShare(&cfg); err != nil {
		errs = append(errs, err)
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
		return event.NewSettingError("DeadLetters", "over_share", "is %q, want %s or %s", s.overShare, overShareDrop, overShareBlock)
	}
	return nil
}

// noNil refuses a nil pointer in an interface, as a store has whose error of Open was
// ignored: the interface is not nil, and its first use would end the process.
func noNil(what string, v any) error {
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
		return fmt.Errorf("the %s is a nil %T", what, v)
	}
	return nil
}

// tls sets the source of the TLS configuration: config, which was set in code, or
// else the files, which are watched, so that a rotation needs no restart.
func (s *Settings) tls(cfg *Config, config *tls.Config) (err error) {
	if config != nil {
		cfg.TLS = func() (*tls.Config, error) { return config.Clone(), nil }
		return nil
	}
	cfg.certificates, err = newCertificates(*s.Files)
	cfg.TLS = cfg.certificates.use
	return err
}

// checkUnmatched reports every problem of the settings for messages and filters without a
// subscription, by key.
func checkUnmatched(cfg *Config) error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, event.NewSettingError("Subscriber", key, format, args...))
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

// replies returns the rules for where and how many replies may be sent.
func (s *Settings) replies() (rules request.Rules, err error) {
	if s.ReplyTopics != nil {
		rules.Topics, err = request.ParseTemplates(s.ReplyTopics, true)
	}
	unbound, bad := request.ParseTemplates(s.UnboundReplyTopics, false)
	rules.Unbound, rules.Limits = unbound, s.ReplyLimits.Resolved()
	if err != nil {
		err = event.NewSettingError("Subscriber", "replies.topics", "%w", err)
	}
	if bad != nil {
		bad = event.NewSettingError("Subscriber", "replies.unbound_topics", "%w", bad)
	}
	return rules, errors.Join(err, bad)
}

// Outbox are the settings of an outbox.
type Outbox = outbox.Settings

// Format writes no settings, whatever the verb, because some are secrets.
func (s *Settings) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "mqtt settings") }
