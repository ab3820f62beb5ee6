package doctor_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/doctor"
)

// finding returns the finding of a check.
func finding(t *testing.T, r *doctor.Report, check, protocol string) doctor.Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Check == check && f.Protocol == protocol {
			return f
		}
	}
	t.Fatalf("no finding %s %s in %+v", check, protocol, r.Findings)
	return doctor.Finding{}
}

func quick(c *v1.Connection) doctor.Options {
	return doctor.Options{Connection: c, Wait: 20 * time.Second, Quiet: 500 * time.Millisecond, MaxQueue: 300, MaxPayload: 256 << 10}
}

// A broker that can do less is described by what it does, not by what it announces.
func TestLimitedBroker(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.MaxQoS(1), broker.MaxPacket(100_000), broker.MaxQueued(50), broker.AliasMaximum(0), broker.MaxInflight(1), broker.ReceiveMaximum(3))
	r, err := doctor.Run(t.Context(), quick(&v1.Connection{Addresses: []string{b.URL()}, Protocol: "5"}))
	if err != nil {
		t.Fatal(err)
	}
	for check, want := range map[string]string{
		"connect":       "accepted, announces receive maximum 3, packets up to 100000 bytes, QoS up to 1",
		"queue":         "50 of 300 messages wait, the newest are discarded, without an error",
		"payload":       "64 KiB; of 128 KiB: above the announced 100000 bytes",
		"in_flight":     "sends one message, then waits for its acknowledgement; keeps to the client's receive maximum",
		"topic_aliases": "none from clients, none to clients",
	} {
		if f := finding(t, r, check, "5"); f.Result != want {
			t.Errorf("%s: %q, want %q", check, f.Result, want)
		}
	}
	if f := finding(t, r, "qos", "5"); f.Grade != doctor.Limited || !strings.HasPrefix(f.Result, "QoS 2: ") {
		t.Errorf("qos: %+v", f)
	}
	if len(r.Settings) != 1 || r.Settings[0] != "publisher.max_payload: 65536" || len(r.Protocols) != 1 {
		t.Errorf("settings %q, protocols %q", r.Settings, r.Protocols)
	}
}

// The doctor uses topics and client ids below its prefix only, and leaves nothing behind: not
// after an interruption either.
func TestLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"the end", "retained", "session", "queue"} {
		t.Run("until "+last, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			b := mqtttest.InProcess(t)
			var mu sync.Mutex
			var strange []string
			now := ""
			b.Observe(func(o broker.Observed) {
				mu.Lock()
				defer mu.Unlock()
				if o.Direction != broker.ToBroker {
					return
				}
				if o.Type() == broker.Publish && now == last {
					cancel() // amid the check
				}
				for _, filter := range o.Filters() {
					if !strings.Contains(filter, "plant/doctor-") && filter != "$SYS/#" {
						strange = append(strange, filter)
					}
				}
			})
			o := quick(&v1.Connection{Addresses: []string{b.URL()}})
			o.Prefix = "plant"
			o.Begin = func(check, _ string) {
				mu.Lock()
				defer mu.Unlock()
				now = check
			}
			_, err := doctor.Run(ctx, o)
			if last != "the end" && !errors.Is(err, context.Canceled) || last == "the end" && err != nil {
				t.Errorf("err = %v", err)
			}
			mqtttest.Eventually(t, 10*time.Second, func() bool { return len(b.Sessions()) == 0 && b.Stats().Retained == 0 }, "sessions %v, stats %+v", b.Sessions(), b.Stats())
			mu.Lock()
			defer mu.Unlock()
			if len(strange) > 0 {
				t.Errorf("other topics: %q", strange)
			}
		})
	}
}

// A connection that is not accepted is explained.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.WithUsers(map[string]string{"ops": "secret"}))
	gone := mqtttest.InProcess(t)
	gone.Close()
	for name, c := range map[string]struct {
		connection *v1.Connection
		advice     string
	}{
		"password": {&v1.Connection{Addresses: []string{b.URL()}, Username: "ops", Password: "wrong"}, "does not know this user name and password"},
		"nobody":   {&v1.Connection{Addresses: []string{gone.URL()}}, "nothing listens on that port"},
	} {
		r, err := doctor.Run(t.Context(), quick(c.connection))
		if !errors.Is(err, doctor.ErrRefused) || len(r.Protocols) > 0 {
			t.Fatalf("%s: %v", name, err)
		}
		if advice := r.Advice(); len(advice) != 1 || !strings.Contains(advice[0], c.advice) {
			t.Errorf("%s: %q", name, advice)
		}
	}
	if _, err := doctor.Run(t.Context(), quick(&v1.Connection{Addresses: []string{"nonsense://x"}})); err == nil || errors.Is(err, doctor.ErrRefused) {
		t.Errorf("err = %v", err)
	}
}

// What is not a broker, and a broker that floods its clients, cost neither much time nor memory.
func TestStrangeServers(t *testing.T) {
	t.Parallel()
	connack := string(mqtttest.ConnackPacket(4, false, 0))
	publish := strings.Repeat(string(mqtttest.PublishPacket(4, 0, "a", 0, "x")), 100)
	for name, c := range map[string]struct {
		first, then string
		result      string
	}{
		"HTTP":        {"HTTP/1.1 400 Bad Request\r\n\r\n", "", "malformed"},
		"large":       {"\x20\xff\xff\xff\x7f", "", "the broker sent a packet of 268435455 bytes"},
		"flood":       {connack, publish, "the broker sends more messages than it was sent"},
		"silent":      {"", "", "the broker closed the connection"},
		"only a byte": {"\x20", "", "the broker closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := quick(&v1.Connection{Addresses: []string{"mqtt://" + server(t, c.first, c.then)}, Protocol: "3.1.1"})
			r, err := doctor.Run(t.Context(), o)
			check := "connect"
			if c.then != "" {
				check = "qos"
			}
			if f := finding(t, r, check, "3.1.1"); !strings.Contains(f.Result, c.result) || f.Grade == doctor.OK {
				t.Errorf("%+v, %v", f, err)
			}
		})
	}
}

// server answers the first bytes of each connection with a text, then repeats another one until
// the connection ends; without one it closes the connection.
func server(t *testing.T, first, then string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 1000))
				_, err := io.WriteString(c, first)
				for err == nil && then != "" {
					_, err = io.WriteString(c, then)
				}
			})
		}
	})
	return l.Addr().String()
}

// The certificate is described, also one that the client refuses.
func TestCertificate(t *testing.T) {
	t.Parallel()
	ca, other := mqtttest.NewCA(t), mqtttest.NewCA(t)
	expired := ca.ServerConfig(false)
	expired.Certificates[0], _, _ = ca.Issue("old", x509.ExtKeyUsageServerAuth, time.Now().Add(-time.Hour), "127.0.0.1")
	good := mqtttest.InProcess(t, broker.WithTLS("127.0.0.1:0", ca.ServerConfig(false)))
	mutual := mqtttest.InProcess(t, broker.WithTLS("127.0.0.1:0", ca.ServerConfig(true)))
	old := mqtttest.InProcess(t, broker.WithTLS("127.0.0.1:0", expired))
	for name, c := range map[string]struct {
		url    string
		tls    *v1.TLS
		grade  doctor.Grade
		result string
	}{
		"good":    {good.TLSURL(), &v1.TLS{CaFile: ca.CertFile}, doctor.Limited, "TLS 1.3, certificate of server until "}, // it ends tomorrow
		"mutual":  {mutual.TLSURL(), &v1.TLS{CaFile: ca.CertFile, CertFile: ca.ClientCertFile, KeyFile: ca.ClientKeyFile}, doctor.Limited, "certificate of server"},
		"unknown": {good.TLSURL(), &v1.TLS{CaFile: other.CertFile}, doctor.Missing, "signed by unknown authority"},
		"name":    {good.TLSURL(), &v1.TLS{CaFile: ca.CertFile, ServerName: "broker.example"}, doctor.Missing, "valid for localhost, not broker.example"},
		"expired": {old.TLSURL(), &v1.TLS{CaFile: ca.CertFile}, doctor.Missing, "certificate of old until "},
		"plain":   {"mqtts://" + strings.TrimPrefix(good.URL(), "mqtt://"), nil, doctor.Missing, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o := quick(&v1.Connection{Addresses: []string{c.url}, Tls: c.tls, Protocol: "5"})
			o.MaxQueue = 10
			r, err := doctor.Run(ctx, o)
			if (err != nil) != (c.grade == doctor.Missing) || err != nil && !errors.Is(err, doctor.ErrRefused) {
				t.Fatal(err)
			}
			if f := finding(t, r, "tls", ""); f.Grade != c.grade || !strings.Contains(f.Result, c.result) {
				t.Errorf("%+v", f)
			}
		})
	}
}

// A forbidden topic that is named is tested, with Mosquitto's access rules.
func TestForbidden(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t, mqtttest.WithCredentials("ops", "secret"), mqtttest.WithACL("user ops", "topic readwrite plant/#", "topic read cmd/#"))
	o := quick(&v1.Connection{Addresses: []string{b.URL()}, Username: "ops", Password: "secret"})
	o.Prefix, o.Forbidden = "plant", "cmd/7"
	r, err := doctor.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for protocol, want := range map[string]string{"3.1.1": "not visible: acknowledged and thrown away", "5": "visible: refused with 0x87 (not authorized)"} {
		if f := finding(t, r, "forbidden_publish", protocol); f.Result != want {
			t.Errorf("%s: %+v", protocol, f)
		}
	}
	if f := finding(t, r, "qos", "5"); f.Grade != doctor.OK {
		t.Errorf("below the prefix: %+v", f)
	}
}
