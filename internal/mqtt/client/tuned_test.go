package client

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// configured makes a client from a configuration. before and after are options that the
// service applies before and after it.
func configured(t *testing.T, s *v1.Settings, before, after func(*Settings)) *Client {
	t.Helper()
	addrs, err := ParseAddresses([]string{"mqtt://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	to := &Settings{Config: Config{Connection: Connection{Addresses: addrs}}}
	before(to)
	to.Connection(s.Connection)
	to.Publisher(s.Publisher)
	to.Subscriber(s.Subscriber)
	after(to)
	c, err := New(to, NewLasting(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func nothing(*Settings) {}

// now returns the settings in use, without policies.
func now(c *Client) tuned {
	t := c.reloading.start
	if last := c.reloading.tuned.Load(); last != nil {
		t = *last
	}
	t.sending, t.login, t.policies = *c.sending.Load(), c.cfg.logins.current(), policies{}
	return t
}

// A setting that is removed from the configuration has its default again: that of the
// code, or of the library. What the code sets after the configuration stays.
func TestReloadReturnsToDefaults(t *testing.T) {
	t.Parallel()
	full := &v1.Settings{
		Connection: &v1.Connection{Username: "ann", Password: "first"},
		Publisher:  &v1.Publisher{Timeout: durationpb.New(3 * time.Second), Retry: &v1.Retry{MaxAttempts: 3, MaxBackoff: durationpb.New(time.Second)}},
		Subscriber: &v1.Subscriber{Concurrency: 3, HandlerTimeout: durationpb.New(3 * time.Second), RetryBudget: durationpb.New(0), Breaker: new(v1.Breaker)},
	}
	c := configured(t, full, nothing, nothing)
	empty := &v1.Settings{Connection: &v1.Connection{Username: "ann", Password: "second"}}
	if err := c.Reload(empty); err != nil {
		t.Fatal(err)
	}
	fresh := configured(t, empty, nothing, nothing)
	if got, want := now(c), now(fresh); got.sending != want.sending || got.login != want.login ||
		got.timeout != want.timeout || got.budget != want.budget || got.concurrency != want.concurrency {
		t.Errorf("%+v, want %+v as after a restart", got, want)
	}
	if b := c.reloading.tuned.Load().policies.all.breaker; b != nil {
		t.Errorf("breaker %+v, want none", b)
	}
	if err := c.Reload(full); err != nil {
		t.Fatal(err)
	}
	if got := now(c); got.sending.timeout != 3*time.Second || got.sending.retries.Attempts != 3 || got.concurrency != 3 || got.budget != 1 {
		t.Errorf("%+v, want the configuration", got)
	}

	c = configured(t, full,
		func(s *Settings) {
			s.Config.Concurrency, s.Config.PublishTimeout, s.Retry.Attempts, s.Config.Breaker = 7, 7*time.Second, 7, &event.Breaker{Failures: 7}
		},
		func(s *Settings) { s.Config.HandlerTimeout = 9 * time.Second })
	if err := c.Reload(&v1.Settings{Connection: full.Connection}); err != nil {
		t.Fatal(err)
	}
	if got := now(c); got.concurrency != 7 || got.sending.timeout != 7*time.Second || got.sending.retries.Attempts != 7 || got.timeout != 9*time.Second {
		t.Errorf("%+v, want what the code says", got)
	}
	if b := c.reloading.tuned.Load().policies.all.breaker; b == nil || b.Failures != 7 {
		t.Errorf("breaker %+v, want that of the code", b)
	}
}

// An invalid value changes nothing. Each setting that is used after a restart only is
// named once.
func TestReloadNamesSettings(t *testing.T) {
	t.Parallel()
	first := &v1.Settings{Connection: new(v1.Connection), Publisher: new(v1.Publisher), Subscriber: new(v1.Subscriber)}
	for name, tc := range map[string]struct {
		change  func(*v1.Settings)
		restart bool
		keys    []string
	}{
		"invalid": {func(s *v1.Settings) {
			s.Publisher.Timeout, s.Publisher.Retry = durationpb.New(0), &v1.Retry{MinBackoff: durationpb.New(time.Hour), MaxBackoff: durationpb.New(1)}
			s.Subscriber.Breaker, s.Subscriber.Concurrency = &v1.Breaker{Failures: proto.Uint32(5000)}, 1_000_000
		}, false, []string{"breaker.failures", "concurrency", "retry.min_backoff", "timeout"}},
		"restart": {func(s *v1.Settings) {
			s.Connection.ClientId, s.Connection.Username, s.Connection.Password = "other", "ann", "secret"
			s.Connection.Tls = &v1.TLS{CaFile: "ca.pem"}
			s.Publisher.InFlight, s.Subscriber.Queue = 3, 3
			s.Subscriber.Subscriptions = map[string]*v1.Subscription{"a/+": {Exhausted: "drop", Concurrency: 2, ParkMaxAttempts: proto.Uint32(3)}}
		}, true, []string{"client_id", "in_flight", "password", "queue", "subscriptions.a/+.exhausted", "tls", "username"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := configured(t, first, nothing, nothing)
			before := now(c)
			next := proto.CloneOf(first)
			tc.change(next)
			next.Subscriber.HandlerTimeout = durationpb.New(time.Minute)
			err := c.Reload(next)
			if e, ok := errors.AsType[*event.Error](err); ok {
				err = e.Cause
			}
			var keys []string
			for _, e := range leaves(err) {
				s, ok := errors.AsType[*event.SettingError](e)
				if !ok || errors.Is(e, event.ErrNeedsRestart) != tc.restart || strings.Contains(e.Error(), "secret") {
					t.Errorf("%v", e)
					continue
				}
				keys = append(keys, s.Key)
			}
			slices.Sort(keys)
			if !slices.Equal(keys, tc.keys) {
				t.Errorf("keys %q, want %q", keys, tc.keys)
			}
			if changed := now(c).timeout != before.timeout; changed != tc.restart {
				t.Errorf("changed: %v", changed)
			}
			if tc.restart {
				if err := c.Reload(next); err != nil {
					t.Errorf("named twice: %v", err)
				}
			}
		})
	}
}

func leaves(err error) (all []error) {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range list.Unwrap() {
			all = append(all, leaves(e)...)
		}
		return all
	}
	return []error{err}
}
