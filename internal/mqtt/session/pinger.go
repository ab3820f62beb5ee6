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

// pinger keeps an MQTT 5 connection alive and notices when it is not. It pings
// at every interval [MQTT-3.1.2-20], also when messages flow: they may all go
// one way, into a dead network.
type pinger struct {
	link    *link.Conn
	timeout time.Duration
	answer  chan struct{} // a PINGRESP came
}

var _ paho.Pinger = (*pinger)(nil)

func newPinger(l *link.Conn, timeout time.Duration) *pinger {
	return &pinger{link: l, timeout: timeout, answer: make(chan struct{}, 1)}
}

// Run pings until ctx ends, which is with the connection. The interval is the
// server's where it has one, and 0 is never.
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
	case <-p.answer: // one that nothing asked for
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

// PingResp never waits: it is called by the read loop.
func (p *pinger) PingResp() {
	select {
	case p.answer <- struct{}{}:
	default:
	}
}

// PacketSent changes nothing.
func (*pinger) PacketSent() {}

// PacketReceived changes nothing.
func (*pinger) PacketReceived() {}

// SetDebug is not needed: errors are returned.
func (*pinger) SetDebug(paholog.Logger) {}
