package client

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/identity"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// as makes the client that of a replica with an environment of pairs NAME=value.
func as(service, host string, environment ...string) option {
	return func(c *Config) {
		c.naming.replica = identity.Replica{Service: service, Hostname: host, Getenv: func(name string) string {
			for _, e := range environment {
				if value, ok := strings.CutPrefix(e, name+"="); ok {
					return value
				}
			}
			return ""
		}}
	}
}

func named(id string) option { return func(c *Config) { c.ClientID = id } }

func clean(v bool) option { return func(c *Config) { c.CleanSession = &v } }

const inPod = "KUBERNETES_SERVICE_HOST=10.0.0.1"

func TestClientIDs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		opts []option
		want string // an expression for the id of a run, or what the error has in it
		kept bool
		fail bool
	}{
		"none":                         {opts: []option{as("", "h"), named("")}, want: `^kratos-[0-9a-f]{16}$`},
		"none, with a service":         {opts: []option{as("shop", "h"), named("")}, want: `^shop-[0-9a-f]{16}$`},
		"a text":                       {opts: []option{as("shop", "h"), named("saver")}, want: `^saver$`, kept: true},
		"a text in a pod":              {opts: []option{as("shop", "web-7d4b9c6f5d-x2x9z", inPod), named("saver")}, want: `^saver$`, kept: true},
		"an ordinal":                   {opts: []option{as("shop", "saver-2", inPod), named("{service}-{ordinal}")}, want: `^shop-2$`, kept: true},
		"an ordinal by default":        {opts: []option{as("shop", "laptop"), named("{service}-{ordinal:0}")}, want: `^shop-0$`, kept: true},
		"a hostname":                   {opts: []option{as("", "node7"), named("{service:reports}-{hostname}")}, want: `^reports-node7$`, kept: true},
		"a hostname, clean":            {opts: []option{as("", "node7"), named("{hostname}"), clean(true)}, want: `^node7$`},
		"a service, clean":             {opts: []option{as("shop", "node7"), named("{service}"), clean(true)}, want: `^shop$`},
		"random":                       {opts: []option{as("shop", "node7"), named("{hostname}-{random}")}, want: `^node7-[0-9a-f]{16}$`},
		"none that lasts":              {opts: []option{as("", "h"), named(""), clean(false)}, want: `connection.clean_session: is false, but there is no client id`, fail: true},
		"random that lasts":            {opts: []option{as("", "h"), named("a-{random}"), clean(false)}, want: `connection.client_id: is another one after each start because of {random}`, fail: true},
		"the same in all replicas":     {opts: []option{as("shop", "h"), named("{service}")}, want: `connection.client_id: is the same in every replica`, fail: true},
		"a pod of a Deployment":        {opts: []option{as("shop", "web-7d4b9c6f5d-x2x9z", inPod), named("{service}-{ordinal:0}")}, want: `has the default of {ordinal}, because the pod "web-7d4b9c6f5d-x2x9z" has none`, fail: true},
		"a pod with an ordinal set":    {opts: []option{as("shop", "web-7d4b9c6f5d-x2x9z", inPod, "MQTT_ORDINAL=4"), named("{service}-{ordinal:0}")}, want: `^shop-4$`, kept: true},
		"an ordinal that is not there": {opts: []option{as("shop", "h"), named("{ordinal}")}, want: `connection.client_id: has {ordinal}, which is not known here`, fail: true},
		"an unknown placeholder":       {opts: []option{as("shop", "h"), named("{pod}")}, want: `connection.client_id: has the placeholder {pod}`, fail: true},
		"too long":                     {opts: []option{as(strings.Repeat("a", 70_000), "h"), named("{service}-{random}")}, want: `connection.client_id: has 70017 bytes`, fail: true},
		"not UTF-8":                    {opts: []option{as("\xff", "h"), named("{service}-{hostname}")}, want: `connection.client_id: is not valid UTF-8`, fail: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{Connection: Connection{Addresses: []Address{{Host: "h"}}}}
			for _, o := range tt.opts {
				o(&cfg)
			}
			c, err := NewClient(cfg, nil)
			if tt.fail {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want %q", err, tt.want)
				}
				if s, ok := errors.AsType[*event.SettingError](err); !ok || s.Section != "kratosmqtt.v1.Connection" {
					t.Errorf("got %#v, want an error of the connection", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if id := c.cfg.runID(); !regexp.MustCompile(tt.want).MatchString(id) || c.cfg.persistent() != tt.kept || (c.ClientID() == "") != strings.Contains(tt.want, "{16}") {
				t.Errorf("got %q, of the configuration %q, kept %t, want %s, kept %t", id, c.ClientID(), c.cfg.persistent(), tt.want, tt.kept)
			}
		})
	}
}

// TestNameOfTheApplication sets the name of a client's service at Start: ids and groups have it,
// and without it Start returns an error.
func TestNameOfTheApplication(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	replica := func(id string) *Client { return client(t, server.URL(), as("", "node7"), named(id)) }
	group := func(c *Client, group string) error {
		_, err := c.Subscribe(within(t, patience), &Subscription{Filter: "$share/" + group + "/jobs", QoS: 1, Handler: idle})
		return err
	}

	c := replica("{service}-{hostname}")
	if err := group(c, "{service}"); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(within(t, patience)); err == nil || !strings.Contains(err.Error(), "has {service}, which is not known here") {
		t.Fatalf("got %v, want an error without the name of the service", err)
	}
	if err := c.NameService("shop"); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.NameService("other"), group(c, "{service}")); err != nil { // too late, and as before
		t.Fatal(err)
	}
	i := slices.IndexFunc(server.Sessions(), func(s broker.Session) bool { return s.ClientID == "shop-node7" })
	if i < 0 || !slices.Equal(server.Sessions()[i].Filters, []string{"$share/shop/jobs"}) || c.ClientID() != "shop-node7" {
		t.Errorf("got %+v, want the session shop-node7 with $share/shop/jobs", server.Sessions())
	}

	unnamed := replica("reader")
	if err := unnamed.Start(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if err := group(unnamed, "{service}"); err == nil || !strings.Contains(err.Error(), "group has {service}") {
		t.Errorf("got %v, want an error of the group", err)
	}
	if err := group(unnamed, "{hostname}"); err == nil || !strings.Contains(err.Error(), "group has the placeholder {hostname}, want {service}") {
		t.Errorf("got %v, want an error of the group", err)
	}
	if err := group(replica("other"), "{service:jobs}"); err != nil {
		t.Error(err)
	}
}

// A replacement of the client names groups by its own service.
func TestGroupOfANewClient(t *testing.T) {
	t.Parallel()
	first := client(t, mqtttest.InProcess(t).URL(), as("a", "h"))
	s := &Subscription{Filter: "$share/{service}/jobs", Handler: idle}
	if _, err := first.Subscribe(t.Context(), s); err != nil || s.Filter != "$share/a/jobs" {
		t.Fatalf("got %s, %v", s.Filter, err)
	}
	cfg := first.cfg
	cfg.naming = naming{}
	as("b", "h")(&cfg)
	if _, err := NewClient(cfg, first); err != nil || s.Filter != "$share/b/jobs" {
		t.Errorf("got %s, %v, want the group b", s.Filter, err)
	}
}

// A session with shared subscriptions only ends soon where its messages then go to others.
func TestExpiryOfGroups(t *testing.T) {
	t.Parallel()
	const shared, plain = "$share/g/a", "b"
	for name, tt := range map[string]struct {
		preset  string
		filters []string
		set     time.Duration
		want    time.Duration
	}{
		"shared only":           {"emqx", []string{shared}, 0, groupExpiry},
		"shared and others":     {"emqx", []string{shared, plain}, 0, 0},
		"nothing":               {"emqx", nil, 0, 0},
		"configured":            {"emqx", []string{shared}, time.Hour, time.Hour},
		"would be lost":         {"mosquitto", []string{shared}, 0, 0},
		"nothing known of them": {"", []string{shared}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			preset, err := FindPreset(tt.preset)
			if err != nil {
				t.Fatal(err)
			}
			c := client(t, "mqtt://127.0.0.1:1", func(c *Config) { c.Preset, c.SessionExpiry = preset, tt.set })
			for _, f := range tt.filters {
				if _, err := c.Subscribe(t.Context(), &Subscription{Filter: f, Handler: idle}); err != nil {
					t.Fatal(err)
				}
			}
			if got := c.sessionExpiry(""); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if got := c.sessionExpiry("own"); got != tt.set {
				t.Errorf("own session: got %v, want %v", got, tt.set)
			}
		})
	}
}
