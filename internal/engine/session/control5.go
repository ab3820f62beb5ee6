package session

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/wire"
)

// control5 drives paho.golang, one client object per connection.
type control5 struct {
	cfg     *Config
	client  *paho.Client
	onClose func(reason byte, detail string) // DISCONNECT of the broker
}

func (c *control5) connect(ctx context.Context, l *link.Conn, k credentials) error {
	c.client = paho.NewClient(paho.ClientConfig{
		Conn:          l,
		Session:       newLibraryIDs(),
		PacketTimeout: c.cfg.ConnectTimeout,
		OnServerDisconnect: func(d *paho.Disconnect) {
			detail := ""
			if d.Properties != nil {
				detail = d.Properties.ReasonString
			}
			c.onClose(d.ReasonCode, detail)
		},
	})
	ack, err := c.client.Connect(ctx, c.packet(k))
	if err == nil {
		return nil
	}
	_ = l.Close()
	if ack != nil && ack.ReasonCode >= codeFailed {
		return &CodeError{
			Packet: "CONNACK", Code: ack.ReasonCode,
			Name: wire.ReasonName(wire.TypeConnack, wire.V5, ack.ReasonCode), Detail: connackDetail(ack),
		}
	}
	return fmt.Errorf("no CONNACK: %w", err)
}

func connackDetail(a *paho.Connack) string {
	if a.Properties == nil {
		return ""
	}
	return a.Properties.ReasonString
}

// packet is our CONNECT. The Receive Maximum bounds what we hold, because the
// read loop never stops; problem information is asked for, or a broker may
// drop user properties.
func (c *control5) packet(k credentials) *paho.Connect {
	receiveMaximum := uint16(c.cfg.ReceiveMaximum)
	maximumPacket := uint32(min(c.cfg.MaxPacketSize, math.MaxUint32))
	expiry := c.expiry()
	cp := &paho.Connect{
		ClientID: c.cfg.ClientID, CleanStart: c.cfg.CleanSession, KeepAlive: uint16(c.cfg.KeepAlive / time.Second),
		Username: k.username, UsernameFlag: k.username != "",
		Password: []byte(k.password), PasswordFlag: k.password != "",
		Properties: &paho.ConnectProperties{
			ReceiveMaximum: &receiveMaximum, MaximumPacketSize: &maximumPacket,
			SessionExpiryInterval: &expiry, RequestProblemInfo: true,
		},
	}
	if w := c.cfg.Will; w != nil {
		cp.WillMessage = &paho.WillMessage{Topic: w.Topic, Payload: w.Payload, QoS: w.QoS, Retain: w.Retain}
		cp.WillProperties = &paho.WillProperties{}
		if p := w.Properties; p != nil {
			cp.WillProperties.ContentType = p.ContentType
		}
	}
	return cp
}

func (c *control5) expiry() uint32 {
	if c.cfg.CleanSession {
		return 0
	}
	return uint32(min(c.cfg.SessionExpiry/time.Second, math.MaxUint32))
}

// subscribe sends one SUBSCRIBE for each filter, because a subscription
// identifier belongs to a packet: it tells which of several overlapping
// filters a copy of a message came through.
func (c *control5) subscribe(ctx context.Context, filters []Filter) ([]byte, error) {
	codes := make([]byte, len(filters))
	for i, f := range filters {
		code, err := c.subscribeOne(ctx, f)
		if err != nil {
			return nil, err
		}
		codes[i] = code
	}
	return codes, nil
}

func (c *control5) subscribeOne(ctx context.Context, f Filter) (byte, error) {
	s := &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{
		Topic: f.Filter, QoS: f.QoS, RetainHandling: f.RetainHandling, NoLocal: f.NoLocal,
	}}}
	if f.ID != 0 {
		id := int(f.ID)
		s.Properties = &paho.SubscribeProperties{SubscriptionIdentifier: &id}
	}
	ack, err := c.client.Subscribe(ctx, s)
	switch {
	case ack != nil && len(ack.Reasons) == 1:
		return ack.Reasons[0], nil // a refusal is an error of the library's, too
	case errors.Is(err, paho.ErrInvalidArguments):
		return byte(packets.SubackImplementationspecificerror), nil // the broker said in CONNACK that it cannot
	case err == nil:
		err = errors.New("SUBACK without a reason code")
	}
	return 0, err
}

func (c *control5) unsubscribe(ctx context.Context, filters []string) error {
	_, err := c.client.Unsubscribe(ctx, &paho.Unsubscribe{Topics: filters})
	return err
}

func (c *control5) disconnect() {
	if c.client == nil {
		return
	}
	_ = c.client.Disconnect(&paho.Disconnect{ReasonCode: 0})
}
