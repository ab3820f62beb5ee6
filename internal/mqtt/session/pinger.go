package session

import (
	"context"
	"net"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	paholog "github.com/eclipse/paho.golang/paho/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
)

// pinger keeps an MQTT 5 connection alive and detects when it is dead. It pings
// at every interval [MQTT-3.1.2-20], even while messages flow, because they may
// all flow in one direction into a dead network.
type pinger struct {
	link    *link.Conn
	timeout time.Duration
	answer  chan struct{} // a PINGRESP came
}

var _ paho.Pinger = (*pinger)(nil)

func newPinger(l *link.Conn, timeout time.Duration) *pinger {
	return &pinger{link: l, timeout: timeout, answer: make(chan struct{}, 1)}
}

// Run pings until ctx ends, which is when the connection ends. The interval is
// that of the server, if it sends one; 0 means never.
func (p *pinger) Run(ctx context.Context, conn net.Conn, keepAlive uint16) error {
	if keepAlive == 0 {
		return nil
	}
	interval := time.Duration(keepAlive) * time.Second
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := p.ping(ctx, conn, min(p.timeout, interval)); err != nil {
			p.link.Abort(err) // before the library closes without a reason
			return err
		}
	}
}

func (p *pinger) ping(ctx context.Context, conn net.Conn, timeout time.Duration) error {
	select {
	case <-p.answer: // an unsolicited PINGRESP
	default:
	}
	if _, err := packets.NewControlPacket(packets.PINGREQ).WriteTo(conn); err != nil {
		return err
	}
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case <-p.answer:
		return nil
	case <-ctx.Done():
		return nil
	case <-late.C:
		return link.ErrNoPingresp
	}
}

// PingResp never waits, because the read loop calls it.
func (p *pinger) PingResp() {
	select {
	case p.answer <- struct{}{}:
	default:
	}
}

// PacketSent does nothing.
func (*pinger) PacketSent() {}

// PacketReceived does nothing.
func (*pinger) PacketReceived() {}

// SetDebug does nothing: errors are returned.
func (*pinger) SetDebug(paholog.Logger) {}
