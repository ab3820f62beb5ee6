package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// nowhere returns an address that refuses connections.
func nowhere(t testing.TB) string { return "mqtt://" + port.Address(t) }

func TestBrokerDownAtStartThenUp(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := mqtttest.NewProxy(t, b.URL())
	p.Refuse(true)
	var j journal
	s := open(t, p.URL(), to(&j))
	want(t, s, "a")
	s.Start()
	s.Start() // does nothing
	asError(t, s.WaitAttempt(within(t, patience)), event.ReasonNetwork)
	asError(t, s.WaitReady(within(t, 20*time.Millisecond)), event.ReasonNetwork)
	waitEvent[ConnectFailed](t, &j, 3)
	published := make(chan error, 1)
	go func() { published <- s.Publish(within(t, patience), &Message{Topic: "a", QoS: 1}) }()
	p.Refuse(false)
	ready(t, s)
	if err := <-published; err != nil {
		t.Errorf("publish that waited: %v", err)
	}
	if st := s.Status(); !st.Connected || !st.Ready || st.LastError != nil || st.Attempts != 0 {
		t.Errorf("%+v", st)
	}
}

func TestBrokerRestart(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	var j journal
	s := open(t, b.URL(), to(&j))
	want(t, s, "a")
	s.Start()
	ready(t, s)
	b.Stop()
	waitEvent[ConnectionLost](t, &j, 1)
	mqtttest.Eventually(t, patience, func() bool { return !s.Status().Ready })
	e := asError(t, s.Publish(within(t, 30*time.Millisecond), &Message{Topic: "a", QoS: 1}), event.ReasonNotConnected)
	if e.MayHaveBeenSent {
		t.Error(e)
	}
	b.Start()
	mqtttest.Eventually(t, patience, func() bool { return s.Status().Ready })
	if err := s.Publish(within(t, patience), &Message{Topic: "a", QoS: 1}); err != nil {
		t.Fatal(err)
	}
	s.cfg.Sink.(*box).wait(t, 1)
}

func TestFailover(t *testing.T) {
	t.Parallel()
	one, two := mqtttest.InProcess(t), mqtttest.InProcess(t)
	p := mqtttest.NewProxy(t, one.URL())
	var j journal
	s := start(t, p.URL(), to(&j), func(c *Config) { c.Addresses = addresses(t, nowhere(t), p.URL(), two.URL()) })
	if e := eventsOf[Connected](&j); e[0].Address != p.URL() {
		t.Errorf("connected to %q", e[0].Address)
	}
	p.Cut() // after a loss the same address is tried first, because it has the session
	if e := waitEvent[Connected](t, &j, 2); e[1].Address != p.URL() || !e[1].SessionPresent {
		t.Errorf("%+v", e[1])
	}
	p.Refuse(true)
	p.Cut()
	if e := waitEvent[Connected](t, &j, 3); e[2].Address != two.URL() {
		t.Errorf("failed over to %q", e[2].Address)
	}
	if err := s.Publish(within(t, patience), &Message{Topic: "a", QoS: 1}); err != nil {
		t.Error(err)
	}
}

func TestNoReconnect(t *testing.T) {
	t.Parallel()
	noReconnect := func(c *Config) { c.NoReconnect = true }
	s := open(t, nowhere(t), noReconnect)
	s.Start()
	asError(t, s.WaitReady(within(t, patience)), event.ReasonNetwork)
	if st := s.Status(); !st.Ended {
		t.Errorf("%+v", st)
	}

	url := scripted(t, true, func(p *peer) {
		p.next()
		p.next()
		p.reset()
	})
	s = open(t, url, noReconnect)
	want(t, s, "a")
	s.Start()
	ready(t, s)
	var o outcomes
	async(t, s, 1, "", &o)
	async(t, s, 2, "", &o)
	for _, err := range o.wait(t, 2) { // the outcome cannot become known later: report it now, not only at Close
		if e := asError(t, err, event.ReasonNotConnected); !e.MayHaveBeenSent {
			t.Error(e)
		}
	}
	mqtttest.Eventually(t, patience, func() bool { return s.Status().Ended })
	asError(t, s.Publish(t.Context(), &Message{Topic: "t", QoS: 1}), event.ReasonNotConnected)
	asError(t, s.Subscribe(t.Context(), Filter{Filter: "b", QoS: 1}), event.ReasonNotConnected)
	asError(t, s.WaitReady(t.Context()), event.ReasonNetwork)
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := open(t, nowhere(t), reconnect(time.Hour, time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := asError(t, s.WaitAttempt(ctx), event.ReasonNotConnected) // never started
	if !errors.Is(e, context.Canceled) {
		t.Error(e)
	}
	asError(t, s.WaitReady(ctx), event.ReasonNotConnected)
	s.Start()
	asError(t, s.WaitAttempt(within(t, patience)), event.ReasonNetwork)
}

// T10: QoS 0 while disconnected is an error, never nil.
func TestT10_QoS0WhileDown(t *testing.T) {
	t.Parallel()
	s := open(t, nowhere(t))
	s.Start()
	for qos := range byte(3) {
		m := &Message{Topic: "t", QoS: qos}
		err := s.Publish(within(t, 30*time.Millisecond), m)
		if e := asError(t, err, event.ReasonNotConnected); e.MayHaveBeenSent || !strings.Contains(e.Error(), "refused") {
			t.Errorf("%v", e)
		}
		asError(t, publishAsync(within(t, 10*time.Millisecond), s, m, func(error) { t.Error("called back") }), event.ReasonNotConnected)
	}
}

// T11: a publish before the first connection waits for it or fails in time;
// without a deadline the default timeout applies.
func TestT11_PublishBeforeTheFirstConnection(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	s := open(t, b.URL(), clean, func(c *Config) { c.PublishTimeout = 50 * time.Millisecond })
	asError(t, s.Publish(t.Context(), &Message{Topic: "t", QoS: 1}), event.ReasonNotConnected)
	result := make(chan error, 2)
	for qos := range byte(2) {
		go func() { result <- s.Publish(within(t, patience), &Message{Topic: "t", QoS: qos}) }()
	}
	s.Start()
	for range 2 {
		if err := <-result; err != nil {
			t.Error(err)
		}
	}
}

func TestRefusedCredentials(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, testbroker.WithUsers(map[string]string{"ann": "right"}))
	var (
		j     journal
		asked atomic.Int64
		good  atomic.Bool
	)
	s := open(t, b.URL(), to(&j), reconnect(time.Millisecond, 100*time.Millisecond), func(c *Config) {
		c.Credentials = func(context.Context) (string, string, error) {
			switch n := asked.Add(1); {
			case n == 1:
				return "", "", errors.New("vault is closed")
			case good.Load():
				return "ann", "right", nil
			}
			return "ann", "wrong", nil
		}
	})
	s.Start()
	waitEvent[ConnectFailed](t, &j, 3)
	events := eventsOf[ConnectFailed](&j)
	if asError(t, events[0].Err, event.ReasonNotAuthorized); !strings.Contains(events[0].Err.Error(), "vault") {
		t.Error(events[0].Err)
	}
	var code *CodeError
	if asError(t, events[1].Err, event.ReasonNotAuthorized); !errors.As(events[1].Err, &code) || code.Packet != "CONNACK" {
		t.Error(events[1].Err)
	}
	good.Store(true)
	ready(t, s)
}

// A failure that only new settings can fix is retried with the maximum delay.
func TestRefusedCredentialsAreTriedSlowly(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, testbroker.WithUsers(map[string]string{"ann": "right"}))
	var j journal
	s := open(t, b.URL(), to(&j), reconnect(time.Millisecond, 1000*time.Hour))
	s.Start()
	if e := waitEvent[ConnectFailed](t, &j, 1)[0]; e.RetryIn < time.Second { // a false failure has a chance of 1 in 3,600,000
		t.Errorf("retry in %v", e.RetryIn)
	}
}

func TestConnackCodes(t *testing.T) {
	t.Parallel()
	for code, reason := range map[byte]event.Reason{
		1: event.ReasonUnsupported, 2: event.ReasonBadRequest, 3: event.ReasonNotConnected, 4: event.ReasonNotAuthorized, 5: event.ReasonNotAuthorized,
		77: event.ReasonRefused,
	} {
		url := mqtttest.ScriptedBroker(t, func(c net.Conn) {
			if _, err := mqtttest.ReadPacket(c); err == nil {
				_, _ = c.Write(mqtttest.ConnackPacket(4, false, code))
			}
		}).URL()
		s := open(t, url)
		s.Start()
		e := asError(t, s.WaitAttempt(within(t, patience)), reason)
		var ce *CodeError
		if !errors.As(e, &ce) || ce.Code != code {
			t.Errorf("code %d: %v", code, e)
		}
		if st := s.Status(); st.Connected {
			t.Errorf("code %d: %+v", code, st)
		}
		s.Close(t.Context())
	}
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	silent := mqtttest.ScriptedBroker(t, func(c net.Conn) {
		for {
			if _, err := mqtttest.ReadPacket(c); err != nil {
				return
			}
		}
	})
	s := open(t, silent.URL(), func(c *Config) { c.ConnectTimeout = 50 * time.Millisecond })
	s.Start()
	asError(t, s.WaitAttempt(within(t, patience)), event.ReasonNetwork)
}

// T28: no text that leaves the session contains a secret.
func TestT28_NoSecretInAnyText(t *testing.T) {
	t.Parallel()
	const user, password = "s3cretuser", "s3cretpassword"
	b := mqtttest.InProcess(t, testbroker.WithUsers(map[string]string{"ann": "right"}))
	var (
		j    journal
		text strings.Builder
	)
	note := func(v any) { fmt.Fprintf(&text, "%v %+v %#v\n", v, v, v) }
	for _, url := range []string{b.URL(), nowhere(t), "mqtts" + strings.TrimPrefix(b.URL(), "mqtt")} {
		url = strings.Replace(url, "://", "://"+user+":"+password+"@", 1)
		s := open(t, url, to(&j), func(c *Config) {
			c.ConnectTimeout = time.Second
			c.TLS = func() (*tls.Config, error) { return &tls.Config{}, nil }
		})
		s.Start()
		note(s.WaitAttempt(within(t, patience)))
		note(s.Publish(within(t, time.Millisecond), &Message{Topic: "t", QoS: 1}))
		note(s.Subscribe(within(t, time.Millisecond), Filter{Filter: "t", QoS: 1}))
		note(s.Status().LastError)
		s.Close(t.Context())
		note(s.WaitReady(t.Context()))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.list {
		note(e)
		if f, ok := e.(ConnectFailed); ok {
			note(f.Err)
		}
	}
	_, err := New(Config{Addresses: addresses(t, "mqtt://"+user+":"+password+"@h"), Window: -1})
	note(err)
	for _, secret := range []string{user, password} {
		if i := strings.Index(text.String(), secret); i >= 0 {
			t.Errorf("secret in %q", text.String()[max(0, i-100):i+20])
		}
	}
}

// T30: exponential with full jitter, never above the maximum.
func TestT30_Backoff(t *testing.T) {
	t.Parallel()
	s := direct(t, reconnect(200*time.Millisecond, 30*time.Second))
	for n := range 100 {
		limit := time.Duration(min(float64(200*time.Millisecond)*math.Pow(2, float64(n)), float64(30*time.Second)))
		var list []time.Duration
		for range 200 {
			list = append(list, newSupervisor(s).backoff(n, time.Hour))
		}
		slices.Sort(list)
		if last := list[199]; last > limit || last < limit/2 || list[0] > limit/4 || list[0] < 0 {
			t.Fatalf("after %d failures %v to %v, want 0 to %v", n, list[0], last, limit)
		}
	}
}

// However many attempts there were, a pause is not longer than the outage, once
// the outage has lasted for some time.
func TestT30_BackoffIsBoundByTheOutage(t *testing.T) {
	t.Parallel()
	s := direct(t, reconnect(200*time.Millisecond, 30*time.Second))
	for _, tc := range []struct{ down, limit time.Duration }{
		{0, 400 * time.Millisecond},
		{300 * time.Millisecond, 400 * time.Millisecond},
		{2 * time.Second, 2 * time.Second},
		{time.Hour, 30 * time.Second},
	} {
		var most time.Duration
		for range 500 {
			most = max(most, newSupervisor(s).backoff(slowly, tc.down))
		}
		if most > tc.limit || most < tc.limit/2 {
			t.Errorf("down for %v: at most %v, want %v", tc.down, most, tc.limit)
		}
	}
}

// T31: sessions leave no goroutines behind; TestMain checks it.
func TestT31_FiftyStartsAndCloses(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	for i := range 50 {
		s := open(t, b.URL())
		want(t, s, "a")
		s.Start()
		if i%3 != 0 { // also close before it is ready
			ready(t, s)
		}
		var o outcomes
		if i%2 == 0 {
			_ = publishAsync(within(t, patience), s, &Message{Topic: "a", QoS: 1}, o.add)
		}
		s.Close(within(t, patience))
		s.Close(t.Context())
	}
	mqtttest.Eventually(t, patience, func() bool {
		for _, c := range b.Sessions() {
			if c.Connected {
				return false
			}
		}
		return true
	})
}

func TestConfigurationProblemsAllAtOnce(t *testing.T) {
	t.Parallel()
	_, err := New(Config{
		KeepAlive: -1, Window: idCount, QoS2Window: -1, MaxPacketSize: -1, PublishTimeout: -1,
		Will: &Message{Topic: "#", QoS: 3},
	})
	asError(t, err, event.ReasonBadRequest)
	for _, part := range []string{"address", "client id", "keep-alive", "in-flight window", "QoS 2 window", "packet size", "publish timeout", "will: QoS", "wildcard"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %q", err, part)
		}
	}
	_, err = New(Config{Addresses: addresses(t, "mqtt://h"), ClientID: "c", KeepAlive: 70_000 * time.Second})
	asError(t, err, event.ReasonBadRequest)
}

func TestConnectPacket(t *testing.T) {
	t.Parallel()
	got := make(chan mqtttest.Packet, 1)
	url := scripted(t, false, func(p *peer) { got <- p.connect; serveAll(p) })
	start(t, strings.Replace(url, "://", "://ann:pw@", 1), clientID("the id"), clean, func(c *Config) {
		c.KeepAlive = 1500 * time.Millisecond
		c.Will = &Message{Topic: "w", Payload: []byte{0, 1}, QoS: 1, Retain: true}
	})
	want := "\x00\x04MQTT\x04" + string([]byte{0x80 | 0x40 | 0x20 | 1<<3 | 4 | 2}) + "\x00\x02" +
		"\x00\x06the id" + "\x00\x01w" + "\x00\x02\x00\x01" + "\x00\x03ann" + "\x00\x02pw"
	if p := <-got; string(p.Body) != want {
		t.Errorf("CONNECT %q, want %q", p.Body, want)
	}
}
