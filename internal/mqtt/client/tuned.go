package client

import (
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
)

// tuned are the settings that a reload changes, besides the names of TLS files.
type tuned struct {
	login           login
	sending         sending
	policies        policies
	timeout, budget time.Duration
	concurrency     int
}

// coded is what the code of the service set, before its configuration was applied.
type coded struct {
	login                                       login
	passwordFile                                string
	concurrency                                 int
	handlerTimeout, retryBudget, publishTimeout time.Duration
	retry                                       Retry
}

// tuned returns the settings of a new client.
func (c *Config) tuned(s *sending) tuned {
	return tuned{login{c.Username, c.Password}, *s, c.policies, c.HandlerTimeout, c.RetryBudget, c.Concurrency}
}

// retuned returns the settings with another configuration, as a new client would have
// them, and checks all of it.
func (c *Config) retuned(next given) (t tuned, err error) {
	var unread error // the password
	s := Settings{Config: *c, Retry: c.coded.retry}
	cfg := &s.Config
	if next.connection != nil {
		cfg.Username, cfg.Password, cfg.PasswordFile = c.coded.login.username, c.coded.login.password, c.coded.passwordFile
		s.connection(next.connection)
		if c.password.at(cfg.PasswordFile) && cfg.Password == "" {
			cfg.Password = c.logins.current().password
		} else {
			unread = cfg.readPassword()
		}
	}
	if next.publisher != nil {
		cfg.PublishTimeout = c.coded.publishTimeout
		s.Publisher(next.publisher)
	} else {
		s.Retry = c.sending.Load().retries
	}
	if next.subscriber != nil {
		cfg.Concurrency, cfg.HandlerTimeout, cfg.RetryBudget = c.coded.concurrency, c.coded.handlerTimeout, c.coded.retryBudget
		s.Subscriber(next.subscriber)
	}
	limits := cfg.limits()
	errs := make([]error, 0, len(s.zeros)+len(limits)+5)
	errs = append(errs, unread)
	for _, zero := range s.zeros {
		errs = append(errs, zero)
	}
	for _, l := range limits {
		errs = append(errs, l.check())
		l.setDefault()
	}
	sends, unsent := newSending(cfg.PublishTimeout, s.Retry)
	var unknown error
	cfg.policies, unknown = readPolicies(cfg.Subscriber, parking.CannotPark(c.DeadLetters, c.ClientID))
	errs = append(errs, checkTexts(cfg), unsent, unknown, cfg.policies.defaultBreaker(c.Breaker))
	return cfg.tuned(&sends), errors.Join(errs...)
}

// keep leaves the settings as they were at the start that the code set after the
// configuration was applied: was is what the configuration alone asked for then. A password
// that is from a file changes without the configuration.
func (t *tuned) keep(start, was *tuned, fromFile bool) {
	keep(&t.login.username, start.login.username, was.login.username)
	if !fromFile {
		keep(&t.login.password, start.login.password, was.login.password)
	}
	keep(&t.sending, start.sending, was.sending)
	keep(&t.timeout, start.timeout, was.timeout)
	keep(&t.budget, start.budget, was.budget)
	keep(&t.concurrency, start.concurrency, was.concurrency)
}

func keep[T comparable](to *T, start, was T) {
	if start != was {
		*to = start
	}
}

// changesLogin reports whether connections use the configured login, so that another one
// can take its place.
func (c *Config) changesLogin() bool {
	return c.Credentials == nil && (c.Username != "" || c.Password != "") // also of a file
}

// readPassword takes the password from its file, if one is set.
func (c *Config) readPassword() error {
	if c.PasswordFile == "" {
		return nil
	}
	if c.Password != "" {
		return event.NewSettingError("Connection", "password_file", "excludes password: want one of them")
	}
	password, err := link.ReadPassword(c.PasswordFile)
	if err != nil {
		return event.NewSettingError("Connection", "password_file", "%w", err)
	}
	c.Password = string(password)
	return nil
}
