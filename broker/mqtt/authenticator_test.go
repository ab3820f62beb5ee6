package mqtt_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

const (
	methodJWT     = "OAUTH2-JWT"
	notAuthorized = 0x87
	goOn          = 0x18
)

// jwt returns a token without a valid signature.
func jwt(number int64, expires time.Time) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return strings.Join([]string{part(`{"alg":"none"}`), part(fmt.Sprintf(`{"exp":%.3f,"jti":"%d"}`, float64(expires.UnixMilli())/1000, number)), "s3cret"}, ".")
}

// tokens issues tokens with a limited lifetime, and checks them on the broker's side.
type tokens struct {
	life    time.Duration
	issued  atomic.Int64
	away    atomic.Bool // the issuer cannot be reached
	refused atomic.Bool // the broker refuses the token
	seen    atomic.Int64
	last    atomic.Pointer[string]
}

func (s *tokens) issue(context.Context) (event.Token, error) {
	if s.away.Load() {
		return event.Token{}, errors.New("the issuer is away")
	}
	t := jwt(s.issued.Add(1), time.Now().Add(s.life))
	s.last.Store(&t)
	return event.Token{Value: t}, nil
}

func (s *tokens) begin(string) testbroker.Exchange {
	return func(data []byte) ([]byte, byte) {
		s.seen.Add(1)
		if s.refused.Load() || !bytes.HasSuffix(data, []byte("s3cret")) {
			return nil, notAuthorized
		}
		return nil, 0
	}
}

// A token is replaced before it expires, repeatedly, on the open connections while
// messages flow. No message is lost, and no connection is made anew.
func TestTokenIsRenewedWithoutReconnect(t *testing.T) {
	t.Parallel()
	s := &tokens{life: 500 * time.Millisecond}
	url := mqtttest.InProcess(t, testbroker.WithEnhancedAuthentication(methodJWT, s.begin)).URL()
	b, out := logged(t, url, mqttbroker.WithProtocol(""), mqttbroker.WithClientId("renews"),
		mqttbroker.WithAuthenticator(event.NewTokenAuthenticator(methodJWT, s.issue)))
	got := subscribe(t, b, "renewed")
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	for n := 0; s.seen.Load() < 12; n++ {
		publish(t, b, "renewed", n)
		if m := receive(t, got); m.body != fmt.Sprint(n) {
			t.Fatalf("message %d is %s", n, m.body)
		}
	}
	if n := out.count("mqtt: connected "); n != 2 || b.Health().LastLoss != nil {
		t.Errorf("connected %d times, lost: %v", n, b.Health().LastLoss)
	}
	s.away.Store(true)
	advances(t, 1, func() int { return min(1, out.count("no new credentials")) }, func() any { return out })
	s.away.Store(false)
	before := s.seen.Load()
	advances(t, 1, func() int { return int(min(1, s.seen.Load()-before)) }, func() any { return out })
	if strings.Contains(out.String(), "s3cret") {
		t.Error("the token is logged")
	}
}

// A broker that refuses new credentials on an open connection ends it. The reported
// cause is the refusal, not a message in flight. The client continues once the
// credentials are accepted again.
func TestRefusedReauthentication(t *testing.T) {
	t.Parallel()
	s := &tokens{life: 500 * time.Millisecond}
	url := mqtttest.InProcess(t, testbroker.WithEnhancedAuthentication(methodJWT, s.begin)).URL()
	b := connected(t, url, mqttbroker.WithProtocol(""), mqttbroker.WithClientId("refused"),
		mqttbroker.WithAuthenticator(event.NewTokenAuthenticator(methodJWT, s.issue)))
	publish(t, b, "refused", 1)
	s.refused.Store(true)
	isRefused := func() int {
		if err := b.Health().LastError; err != nil && event.ReasonOf(err) == event.ReasonNotAuthorized {
			return 1
		}
		return 0
	}
	advances(t, 1, isRefused, func() any { return b.Health() })
	if l := b.Health().LastLoss; l == nil || l.Kind != event.LossAuthentication || l.Code != notAuthorized || l.Suspects != 0 {
		t.Errorf("lost by %+v", l)
	}
	s.refused.Store(false)
	if err := b.WaitReady(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "refused", 2)
}

// challenged is a method with a challenge, in which the broker also proves its
// identity.
type challenged struct{ proof string }

func (*challenged) Method() string { return "CHALLENGE" }

func (a *challenged) Begin(context.Context) (*event.AuthExchange, error) {
	return &event.AuthExchange{
		Data: []byte("hello"),
		Continue: func(_ context.Context, data []byte) ([]byte, error) {
			return append([]byte("answer to "), data...), nil
		},
		Finish: func(_ context.Context, data []byte) error {
			if string(data) != a.proof {
				return errors.New("the broker has no proof")
			}
			return nil
		},
	}, nil
}

func challenge(string) testbroker.Exchange {
	rounds := 0
	return func(data []byte) ([]byte, byte) {
		rounds++
		switch {
		case rounds == 1 && string(data) == "hello":
			return []byte("riddle"), goOn
		case rounds == 2 && string(data) == "answer to riddle":
			return []byte("proof"), 0
		}
		return nil, notAuthorized
	}
}

// An exchange has as many steps as its method needs, and the client can verify the
// broker. An exchange that fails returns an error with the cause.
func TestChallenges(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t, testbroker.WithEnhancedAuthentication("CHALLENGE", challenge)).URL()
	with := func(a event.Authenticator, more ...broker.Option) *mqttbroker.Broker {
		return open(t, url, append([]broker.Option{mqttbroker.WithProtocol(""), mqttbroker.WithFailFast(true), mqttbroker.WithAuthenticator(a)}, more...)...)
	}
	b := with(&challenged{"proof"})
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "challenged", 1)
	silent := event.NewTokenAuthenticator("CHALLENGE", func(context.Context) (event.Token, error) { return event.Token{Value: "hello"}, nil })
	lost := event.NewTokenAuthenticator("CHALLENGE", func(context.Context) (event.Token, error) { return event.Token{}, errors.New("the issuer is away") })
	over := event.NewTokenAuthenticator("CHALLENGE", func(context.Context) (event.Token, error) {
		return event.Token{Value: jwt(1, time.Now().Add(-time.Minute))}, nil
	})
	for _, tc := range []struct {
		a    event.Authenticator
		opt  broker.Option
		says string
	}{
		{&challenged{"other"}, nil, "the broker has no proof"},
		{silent, nil, "the broker wants more authentication data"},
		{lost, nil, "the issuer is away"},
		{over, nil, "the token has expired"},
		{event.NewTokenAuthenticator(methodJWT, nil), mqttbroker.WithProtocol("3.1.1"), "has no enhanced authentication"},
		{event.NewTokenAuthenticator("OTHER", func(context.Context) (event.Token, error) { return event.Token{Value: "x"}, nil }), nil, "0x8C"},
	} {
		err := with(tc.a, tc.opt).Connect()
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%v, want it to say %q", err, tc.says)
		}
	}
}
