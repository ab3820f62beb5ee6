package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// control5 uses paho.golang, with one client object per connection.
type control5 struct {
	cfg      *Config
	client   *paho.Client
	wildcard bool             // the broker accepts filters with wildcards
	onClose  func(*CodeError) // called on the read loop with the broker's DISCONNECT
}

func (c *control5) connect(ctx context.Context, l *link.Conn, k credentials) error {
	c.client = paho.NewClient(paho.ClientConfig{
		Conn:          l,
		Session:       newLibraryIDs(c.onClose),
		PingHandler:   newPinger(l, c.cfg.PingTimeout),
		AuthHandler:   noAuth{}, // without one the library panics when a CONNACK names a method
		PacketTimeout: forever,  // the contexts of the calls have their own limits
	})
	ack, err := c.client.Connect(ctx, c.packet(k))
	if err == nil {
		c.wildcard = ack.Properties == nil || ack.Properties.WildcardSubAvailable
		return nil
	}
	_ = l.Close()
	if ack == nil || ack.ReasonCode < codeFailed {
		return fmt.Errorf("no CONNACK: %w", err)
	}
	refusal := codeError(wire.TypeConnack, ack.ReasonCode)
	if p := ack.Properties; p != nil {
		refusal.Detail, refusal.Server = clip(p.ReasonString), clip(p.ServerReference)
	}
	return refusal
}

// clip returns a copy of the beginning of a broker's text. Errors are kept, one
// for each key of an outbox, and a broker may send 64 KiB each time.
func clip(text string) string {
	n := 0
	for i := range text {
		if n++; n > maxDetail {
			return strings.Clone(text[:i])
		}
	}
	return strings.Clone(text)
}

func codeError(t wire.Type, code byte) *CodeError {
	return &CodeError{Packet: t.String(), Code: code, Name: wire.ReasonName(t, wire.V5, code)}
}

// forever is longer than any connection lasts.
const forever = 365 * 24 * time.Hour

// packet returns the CONNECT packet. Its Receive Maximum is for the library
// only, which allocates memory for as many messages although none reaches it.
// The link replaces it by ours, which limits the messages that we hold. A
// Maximum Packet Size is not sent, because the broker would silently drop a
// larger message [MQTT-3.1.2-25], while we make a dead letter of it. Problem
// information is requested, because a broker may otherwise drop user
// properties. The broker may not use topic aliases.
func (c *control5) packet(k credentials) *paho.Connect {
	receiveMaximum := uint16(1)
	expiry := uint32(0) // the session ends with the connection
	if !c.cfg.CleanSession {
		expiry = wholeSeconds(c.cfg.SessionExpiry)
	}
	cp := &paho.Connect{
		ClientID: c.cfg.ClientID, CleanStart: c.cfg.CleanSession, KeepAlive: uint16(c.cfg.KeepAlive / time.Second),
		Username: k.username, UsernameFlag: k.username != "",
		Password: []byte(k.password), PasswordFlag: k.password != "",
		Properties: &paho.ConnectProperties{
			ReceiveMaximum:        &receiveMaximum,
			SessionExpiryInterval: &expiry, RequestProblemInfo: true,
		},
	}
	if c.cfg.Sink == nil {
		most := uint32(min(int64(c.cfg.MaxPacketSize), math.MaxUint32))
		cp.Properties.MaximumPacketSize = &most
	}
	if k.method != "" {
		cp.Properties.AuthMethod, cp.Properties.AuthData = k.method, k.data
	}
	if w := c.cfg.Will; w != nil {
		cp.WillMessage = &paho.WillMessage{Topic: w.Topic, Payload: w.Payload, QoS: w.QoS, Retain: w.Retain}
		cp.WillProperties = willProperties(w.Properties)
	}
	return cp
}

// willProperties returns the user properties: the library sends no other
// properties of a will.
func willProperties(p *Properties) *paho.WillProperties {
	out := &paho.WillProperties{}
	if p != nil {
		for _, u := range p.User {
			out.User.Add(u.Key, u.Value)
		}
	}
	return out
}

// subscribe sends one SUBSCRIBE for each filter, because a subscription
// identifier belongs to a packet: it identifies which of several overlapping
// filters a copy of a message matched. All of them are in flight at once.
func (c *control5) subscribe(ctx context.Context, filters []Filter) ([]answer, error) {
	answers, errs := make([]answer, len(filters)), make([]error, len(filters))
	var wg sync.WaitGroup
	for i, f := range filters {
		wg.Go(func() { answers[i], errs[i] = c.subscribeOne(ctx, f) })
	}
	wg.Wait()
	var first error
	for i, err := range errs {
		if err != nil {
			answers[i].missing, first = true, cmp.Or(first, err)
		}
	}
	return answers, first
}

func (c *control5) subscribeOne(ctx context.Context, f Filter) (answer, error) {
	s := &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{
		Topic: f.Filter, QoS: f.QoS, RetainHandling: f.RetainHandling, NoLocal: f.NoLocal,
	}}}
	if f.ID != 0 {
		id := int(f.ID)
		s.Properties = &paho.SubscribeProperties{SubscriptionIdentifier: &id}
	}
	ack, err := c.client.Subscribe(ctx, s)
	switch {
	case ack != nil && len(ack.Reasons) == 1: // the library returns an error for a refusal, too
		a := answer{code: ack.Reasons[0]}
		if ack.Properties != nil {
			a.detail = clip(ack.Properties.ReasonString)
		}
		return a, nil
	case errors.Is(err, paho.ErrInvalidArguments):
		return c.cannot(f), nil
	case err == nil:
		err = errors.New("SUBACK without a reason code")
	}
	return answer{}, err
}

// cannot returns the refusal of a filter that the library does not send because
// CONNACK excludes it.
func (c *control5) cannot(f Filter) answer {
	if !c.wildcard && strings.ContainsAny(f.Filter, "#+") {
		return answer{code: wire.ReasonWildcardNotSupported}
	}
	return answer{code: wire.ReasonSharedNotSupported}
}

func (c *control5) unsubscribe(ctx context.Context, filter string) error {
	ack, err := c.client.Unsubscribe(ctx, &paho.Unsubscribe{Topics: []string{filter}})
	if ack == nil || len(ack.Reasons) != 1 || ack.Reasons[0] < codeFailed {
		return err
	}
	refusal := codeError(wire.TypeUnsuback, ack.Reasons[0])
	if ack.Properties != nil {
		refusal.Detail = clip(ack.Properties.ReasonString)
	}
	return refusal
}

func (c *control5) disconnect(reason byte) {
	if c.client != nil {
		_ = c.client.Disconnect(&paho.Disconnect{ReasonCode: reason})
	}
}

// noAuth is for the library only: AUTH packets are handled by [authentication].
type noAuth struct{}

func (noAuth) Authenticate(*paho.Auth) *paho.Auth { return &paho.Auth{} }

func (noAuth) Authenticated() {}
