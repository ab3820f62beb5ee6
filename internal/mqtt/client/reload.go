package client

import (
	"cmp"
	"errors"
	"sync"
	"sync/atomic"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// reloading makes one reload at a time.
type reloading struct {
	mu    sync.Mutex
	start tuned // what the client was made with
	now   given
	tuned atomic.Pointer[tuned] // of the last one; nil before
}

// reload is [Client.Reload].
func (g *reloading) reload(c *Client, s *v1.Settings) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := g.now.follow(s)
	t, err := c.cfg.retuned(next)
	if err != nil {
		return configError(err)
	}
	was, _ := c.cfg.retuned(c.cfg.given) // it was valid at the start
	t.keep(&g.start, &was, c.cfg.password != nil)
	fixed := needRestart(&c.cfg, g.now, next)
	g.apply(c, &t, next)
	g.now = next
	return errors.Join(fixed...)
}

// apply takes a configuration into use.
func (g *reloading) apply(c *Client, t *tuned, next given) {
	g.tuned.Store(t)
	c.sending.Store(&t.sending)
	if f := next.connection.GetPasswordFile(); f != "" && c.cfg.password != nil {
		c.cfg.password.point(f)
	}
	renew := c.cfg.changesLogin() && c.cfg.logins.set(t.login)
	if files := tlsFiles(next.connection.GetTls()); files != nil && c.cfg.certificates != nil {
		c.cfg.certificates.point(*files)
	}
	c.lasting.names.warnUnknown(&t.policies, c.log)
	c.mu.Lock()
	r := c.run.Load()
	if r != nil {
		for s := range c.subs {
			if s.at != nil {
				if err := r.tune(s); err != nil {
					c.log.Error("mqtt: a subscription keeps its settings", logsafe.KeyFilter, s.Filter, logsafe.KeyError, err)
				}
			}
		}
	}
	c.mu.Unlock()
	if r == nil {
		return
	}
	for _, at := range r.subscribers() {
		at.sched.Resize(t.concurrency)
	}
	if renew {
		r.renewal.renew()
	}
}

// concurrency is how many handlers a session runs at once.
func (g *reloading) concurrency(cfg *Config) int {
	if t := g.tuned.Load(); t != nil {
		return t.concurrency
	}
	return cfg.Concurrency
}

// tune sets how the messages of a subscription are handled that arrive from now on, and
// those that are parked, from their next attempt on. The client's lock is held.
func (r *run) tune(s *Subscription) error {
	as := *s
	if t := r.client.reloading.tuned.Load(); t != nil && s.Typed != nil {
		p := t.policies.policy(s.code, s.names()...)
		p.apply(&as)
		as.Timeout, as.Budget = cmp.Or(p.timeout, t.timeout), cmp.Or(p.budget, t.budget)
		as.Exhausted, as.IgnoreRetained = s.Exhausted, s.IgnoreRetained
		s.lane.Resize(as.Concurrency)
		s.Breaker = as.Breaker
		if err := r.breakers.retune(s); err != nil {
			return err
		}
	}
	flow, err := r.flow(&as)
	if err != nil {
		return err
	}
	s.flow.Store(flow)
	if s.backlog == nil {
		return nil
	}
	if flow, err = r.parkedFlow(&as); err == nil {
		s.parked.Store(flow)
		s.backlog.Retune(as.parkRetries())
	}
	return err
}

// needRestart returns an error for each setting that differs and is used after a restart
// only.
func needRestart(cfg *Config, now, next given) (errs []error) {
	for _, s := range now.differences(next) {
		errs = append(errs, event.NewSettingError(s.section, s.key, "%w", event.ErrNeedsRestart))
	}
	add := func(key string) {
		errs = append(errs, event.NewSettingError("Connection", key, "%w", event.ErrNeedsRestart))
	}
	old, files := tlsFiles(now.connection.GetTls()), tlsFiles(next.connection.GetTls())
	if now.connection.GetTls() != nil && next.connection.GetTls() != nil && (old == nil) != (files == nil) {
		add("tls") // an empty section is like a missing one
	}
	if (now.connection.GetPasswordFile() == "") != (next.connection.GetPasswordFile() == "") {
		add("password_file")
	}
	if !cfg.changesLogin() {
		if now.connection.GetUsername() != next.connection.GetUsername() {
			add("username")
		}
		if now.connection.GetPassword() != next.connection.GetPassword() {
			add("password")
		}
	}
	return errs
}
