package observe_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
)

// well is a client whose messages flow.
func well() event.Health {
	return event.Health{Instance: "1", Connected: true, Ready: true, Filters: 2, Granted: 2}
}

// Each thing that can be wrong has its status, its code, and a text without names.
func TestProbeFindings(t *testing.T) {
	t.Parallel()
	secret := &event.Error{Op: "connect", Topic: "secret/topic", Reason: event.ReasonNetwork, Cause: errors.New("dial secret.example:1883")}
	for name, tt := range map[string]struct {
		change func(h *event.Health)
		limits observe.Limits
		status observe.Status
		codes  []observe.Code
	}{
		"well":           {change: func(*event.Health) {}, status: observe.Ready},
		"down":           {change: func(h *event.Health) { h.Connected, h.Ready, h.LastError = false, false, secret }, status: observe.NotReady, codes: []observe.Code{observe.CodeNotConnected}},
		"refused filter": {change: func(h *event.Health) { h.Ready, h.Granted = false, 1 }, status: observe.NotReady, codes: []observe.Code{observe.CodeNotGranted}},
		"lower QoS":      {change: func(h *event.Health) { h.GrantedLower = 1 }, status: observe.NotReady, codes: []observe.Code{observe.CodeLowerQoS}},
		"own session":    {change: func(h *event.Health) { h.Ready = false }, status: observe.NotReady, codes: []observe.Code{observe.CodeNotConnected}},
		"publishing": {
			change: func(h *event.Health) {
				h.Sessions = []event.SessionHealth{{ClientID: "secret", Connected: true}, {ClientID: "secret-pub", LastError: secret}}
			},
			status: observe.Degraded, codes: []observe.Code{observe.CodeConnectionDown},
		},
		"letters":       {change: func(h *event.Health) { h.DeadLettersBlocked, h.DeadLetterError = true, secret }, status: observe.NotReady, codes: []observe.Code{observe.CodeLettersBlocked}},
		"full outbox":   {change: func(h *event.Health) { h.Outbox.Fill = 1 }, status: observe.NotReady, codes: []observe.Code{observe.CodeOutboxFull}},
		"broken outbox": {change: func(h *event.Health) { h.Outbox.Err = secret }, status: observe.NotReady, codes: []observe.Code{observe.CodeOutboxFailed}},
		"broker's certificate": {
			change: func(h *event.Health) { h.BrokerCertificateEnds = time.Now().Add(6 * 24 * time.Hour) },
			status: observe.Degraded, codes: []observe.Code{observe.CodeCertificate},
		},
		"own certificate": {
			change: func(h *event.Health) { h.ClientCertificateEnds = time.Now().Add(-time.Hour) },
			status: observe.Degraded, codes: []observe.Code{observe.CodeCertificate},
		},
		"new files": {
			change: func(h *event.Health) { h.CertificateError = errors.New("/etc/secret.crt: no such file") },
			status: observe.Degraded, codes: []observe.Code{observe.CodeCertificateRefused},
		},
		"certificate for long": {change: func(h *event.Health) { h.ClientCertificateEnds = time.Now().Add(8 * 24 * time.Hour) }, status: observe.Ready},
		"held":                 {change: func(h *event.Health) { h.ParkedKeys, h.TopParkedKeys = 1, []event.ParkedKey{{Key: "secret"}} }, status: observe.Degraded, codes: []observe.Code{observe.CodeKeysParked}},
		"late handler":         {change: func(h *event.Health) { h.HandlersLate = 1 }, status: observe.Degraded, codes: []observe.Code{observe.CodeHandlersLate}},
		"breaker": {
			change: func(h *event.Health) {
				h.Pauses = []event.SubscriptionPause{{Name: "secret/topic", State: event.BreakerOpen, LastError: "dial secret.example:1883", AlsoWaiting: []string{"secret/other"}}}
			},
			status: observe.Degraded, codes: []observe.Code{observe.CodeBreakerOpen},
		},
		"paused": {
			change: func(h *event.Health) { h.Pauses = []event.SubscriptionPause{{State: event.PausedByHand}} },
			status: observe.Degraded, codes: []observe.Code{observe.CodePaused},
		},
		"quarantine": {change: func(h *event.Health) { h.Outbox.Quarantined = 1 }, status: observe.Degraded, codes: []observe.Code{observe.CodeQuarantine}},
		"old outbox": {change: func(h *event.Health) { h.Outbox.Age = 2 * time.Minute }, status: observe.Degraded, codes: []observe.Code{observe.CodeOutboxOld}},
		"over its share": {
			change: func(h *event.Health) { h.LettersOverShare, h.LetterLostAt = 1, time.Now().Add(-9*time.Minute) },
			status: observe.Degraded, codes: []observe.Code{observe.CodeLettersLost},
		},
		"over its share long ago": {
			change: func(h *event.Health) { h.LettersOverShare, h.LetterLostAt = 1, time.Now().Add(-11*time.Minute) },
			status: observe.Ready,
		},
		"two": {
			change: func(h *event.Health) { h.Connected, h.Outbox.Quarantined = false, 1 },
			status: observe.NotReady, codes: []observe.Code{observe.CodeNotConnected, observe.CodeQuarantine},
		},
		"stored": {
			change: func(h *event.Health) { *h = event.Health{HasOutbox: true, LastError: secret} }, limits: observe.Limits{OutboxCovers: true},
			status: observe.Degraded, codes: []observe.Code{observe.CodeStored},
		},
		"nothing stores": {change: func(h *event.Health) { *h = event.Health{} }, limits: observe.Limits{OutboxCovers: true}, status: observe.NotReady, codes: []observe.Code{observe.CodeNotConnected}},
		"subscriber with an outbox": {
			change: func(h *event.Health) { *h = event.Health{HasOutbox: true, Filters: 1} }, limits: observe.Limits{OutboxCovers: true},
			status: observe.NotReady, codes: []observe.Code{observe.CodeNotConnected},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := well()
			tt.change(&c)
			h := observe.NewProbe(tt.limits, nil, fixed(c))
			w := httptest.NewRecorder()
			h.Ready().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			var got observe.Report
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			var codes []observe.Code
			for _, r := range got.Findings {
				codes = append(codes, r.Code)
			}
			if got.Status != tt.status || !slices.Equal(codes, tt.codes) {
				t.Errorf("%s, want %s %v", w.Body, tt.status, tt.codes)
			}
			if (w.Code == 503) != (tt.status == observe.NotReady) || w.Code != 503 && w.Code != 200 {
				t.Errorf("code %d", w.Code)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("names too much: %s", w.Body)
			}
		})
	}
}

func TestNoClientIsNotReady(t *testing.T) {
	t.Parallel()
	h := observe.NewProbe(observe.Limits{})
	if r := h.Check(); r.Status != observe.NotReady || r.Findings[0].Code != observe.CodeNoClient {
		t.Errorf("%+v", r)
	}
	w := httptest.NewRecorder()
	h.Live().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	h.Watch(fixed(well()))
	if r := h.Check(); r.Status != observe.Ready {
		t.Errorf("%+v", r)
	}
}

// Losses count for each client id, and only those of late.
func TestFlapping(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := observe.NewProbe(observe.Limits{}, fixed(well()))
		lose := func(id string) { h.OnConnectionLost(event.ConnectionLostInfo{ClientID: id}) }
		lose("a")
		lose("a")
		lose("b")
		if r := h.Check(); r.Status != observe.Ready {
			t.Errorf("after two losses: %+v", r)
		}
		lose("a")
		if r := h.Check(); r.Status != observe.Degraded || len(r.Findings) != 1 || r.Findings[0].Code != observe.CodeFlapping {
			t.Errorf("after three losses: %+v", r)
		}
		<-time.After(5*time.Minute + time.Second) // of the clock of synctest
		lose("a")
		if r := h.Check(); r.Status != observe.Ready {
			t.Errorf("later: %+v", r)
		}
	})
}

// The age of messages counts for a minute at most, and failed attempts do not count.
func TestOldMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := observe.NewProbe(observe.Limits{}, fixed(well()))
		handle := func(age time.Duration, err error) {
			h.OnHandle(event.HandleInfo{SentAt: time.Now().Add(-age), Err: err})
		}
		handle(2*time.Minute, errors.New("failed"))
		handle(40*24*time.Hour, nil) // absurd
		handle(30*time.Second, nil)
		if r := h.Check(); r.Status != observe.Ready {
			t.Errorf("young ones: %+v", r)
		}
		handle(2*time.Minute, nil)
		<-time.After(29 * time.Second) // of the clock of synctest
		handle(time.Second, nil)
		if r := h.Check(); r.Status != observe.Degraded || r.Findings[0].Code != observe.CodeMessagesOld {
			t.Errorf("an old one: %+v", r)
		}
		<-time.After(time.Minute) // of the clock of synctest
		if r := h.Check(); r.Status != observe.Ready {
			t.Errorf("a minute later: %+v", r)
		}
	})
}

// subscribed is a client with topic filters.
type subscribed struct {
	fixed
	filters []event.FilterHealth
}

func (s subscribed) Filters() []event.FilterHealth { return s.filters }

// A state has the findings of each client, and its filters if its source knows them. A client of
// two sources is there once.
func TestState(t *testing.T) {
	t.Parallel()
	down := fixed(well())
	down.Instance, down.Connected = "2", false
	mine := subscribed{fixed(well()), []event.FilterHealth{{Filter: "a/+", Granted: true}}}
	p := observe.NewProbe(observe.Limits{}, mine, down, mine.fixed)
	s := p.State()
	if len(s.Clients) != 2 || s.Status != observe.NotReady || !slices.Equal(s.Findings, p.Check().Findings) {
		t.Fatalf("%+v", s)
	}
	if c := s.Clients[0]; c.Health.Instance != "1" || len(c.Findings) != 0 || len(c.Filters) != 1 || c.Filters[0].Filter != "a/+" {
		t.Errorf("%+v", c)
	}
	if c := s.Clients[1]; len(c.Filters) != 0 || len(c.Findings) != 1 || c.Findings[0] != s.Findings[0] {
		t.Errorf("%+v", c)
	}
}
