package client

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/identity"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking/retained"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// resolve fills in the defaults and reports every problem at once.
func (c *Config) resolve() error {
	unidentified := c.identify()
	for _, l := range c.limits() {
		l.setDefault()
	}
	c.sending = new(atomic.Pointer[sending])
	def(&c.Service, "service")
	def(&c.PublisherSuffix, DefaultPublisher)
	if c.Logger == nil {
		c.Logger = logsafe.Silence
	}
	c.logins = &logins{log: c.Logger, now: login{c.Username, c.Password}}
	if c.PasswordFile != "" {
		c.password = newPasswordFile(c.PasswordFile, c.logins, c.Logger)
	}
	var errs []error
	bad := func(section, key, format string, args ...any) {
		errs = append(errs, event.NewSettingError(section, key, format, args...))
	}
	if len(c.Addresses) == 0 {
		bad("Connection", "addresses", "no broker address, want the URL of a broker, as in mqtt://host:1883")
	}
	if c.DeadLetterTopic != "" {
		if err := topic.ValidateName(c.DeadLetterTopic); err != nil {
			bad("Subscriber", "dead_letter_topic", "%w", err)
		}
	} else if err := topic.ValidateName(retained.Prefix(c.Service)); err != nil {
		errs = append(errs, fmt.Errorf("name of the service, which is in the topics of dead letters: %w", err))
	}
	if c.Retained && c.DeadLetters != nil {
		bad("DeadLetters", "driver", "a store for dead letters and retained messages exclude each other")
	}
	for _, name := range c.SelfTest {
		if err := topic.ValidateName(name); err != nil {
			errs = append(errs, fmt.Errorf("self-test: %w", err))
		}
	}
	c.checkWill(bad)
	if err := c.SigningKeys.Check(); err != nil {
		bad("DeadLetters", "signing_keys", "%w", err)
	}
	for _, l := range c.limits() {
		errs = append(errs, l.check())
	}
	if c.KeepAlive > math.MaxUint16*time.Second {
		bad("Connection", "keep_alive", "is %v, want at most 65535s [MQTT-3.1.2-10]", c.KeepAlive)
	}
	var unknown error
	c.policies, unknown = readPolicies(c.Subscriber, parking.CannotPark(c.DeadLetters, c.ClientID))
	errs = append(errs, unidentified, c.Partitions.resolve(c.naming.replica), checkTexts(c), checkUpgrade(c.Header), unknown, c.policies.defaultBreaker(c.Breaker))
	if err := errors.Join(errs...); err != nil {
		return &event.Error{Op: "configure", Reason: event.ReasonBadRequest, Cause: err}
	}
	return nil
}

func (c *Config) checkWill(bad func(section, key, format string, args ...any)) {
	w := c.Will
	if w == nil {
		return
	}
	if err := topic.ValidateName(w.Topic); err != nil {
		bad("Connection", "will.topic", "%w", err)
	}
	if w.QoS > 2 {
		bad("Connection", "will.qos", "is %d, want 0, 1 or 2", w.QoS)
	}
	if n := len(w.Payload); n > math.MaxUint16 {
		bad("Connection", "will.payload", "has %d bytes, want at most %d", n, math.MaxUint16)
	}
}

// identify resolves the client id, and reports every problem of it.
func (c *Config) identify() (err error) {
	n := &c.naming
	if n.template == "" {
		n.template = cmp.Or(c.ClientID, anyReplica)
		if n.replica.Getenv == nil { // not that of a test
			n.replica = identity.Here(c.Service)
		}
	}
	clean := c.CleanSession
	c.ClientID, err = n.identify(clean != nil && !*clean, clean != nil && *clean)
	return err
}

// runID returns the client id of a run.
func (c *Config) runID() string { return cmp.Or(c.ClientID, c.naming.runID()) }

// persistent reports whether the broker should keep our sessions.
func (c *Config) persistent() bool {
	if c.CleanSession != nil {
		return !*c.CleanSession
	}
	return c.ClientID != ""
}

// session returns the settings of a connection with this client id.
func (c *Config) session(clientID string) session.Config {
	s := c.Connection
	s.ClientID, s.CleanSession, s.SubscribeFilters = clientID, !c.persistent(), c.Preset.SubscribeFilters
	s.Will, s.SessionExpiry = nil, 0 // only some connections have them
	s.PublishLimit = func() time.Duration { return c.sending.Load().timeout }
	if c.changesLogin() {
		c.logins.connect(&s)
	}
	return s
}

// protocol returns the configured protocol, or else the one that suits the broker.
func (c *Config) protocol() session.Protocol {
	switch {
	case c.Protocol != session.Auto || c.ForceAuto:
		return c.Protocol
	case c.persistent():
		return c.Preset.Persistent
	}
	return c.Preset.Clean
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
