package soak

import (
	"math/rand/v2"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// fault is a kind of fault. inject returns when the fault is over, although a process or
// connection may still need time to come back.
type fault struct {
	name   string
	inject func(r *run)
}

// faults are the kinds that are possible with every broker.
func faults() []fault {
	kinds := []fault{ //nolint:prealloc // there are few
		{"cut", func(r *run) { r.proxy().Cut() }},
		{"stall", func(r *run) {
			p := r.proxy()
			p.Stall(true)
			r.pause(100, 400)
			p.Stall(false)
		}},
		{"half-open", func(r *run) {
			p := r.proxy()
			p.Stall(true)
			r.pause(3500, 4000) // longer than keep-alive and ping timeout
			p.Stall(false)
		}},
		{"refuse", func(r *run) {
			p := r.proxy()
			p.Refuse(true)
			p.Cut()
			r.pause(100, 500)
			p.Refuse(false)
		}},
		{"delay", func(r *run) {
			p := r.proxy()
			p.Delay(mqtttest.ToBroker, 20*time.Millisecond)
			p.Delay(mqtttest.ToClient, 20*time.Millisecond)
			r.pause(100, 300)
			p.Delay(mqtttest.ToBroker, 0)
			p.Delay(mqtttest.ToClient, 0)
		}},
		{"kill publisher", func(r *run) { r.restart(r.pick(r.publishers)) }},
		{"kill consumer", func(r *run) { r.restart(r.pick(r.consumers)) }},
		{"pause process", func(r *run) {
			s := r.pick(append(r.publishers, r.consumers...))
			s.child.pause()
			r.pause(100, 500)
			s.child.resume()
		}},
	}
	for _, d := range []mqtttest.Direction{mqtttest.ToBroker, mqtttest.ToClient} {
		kinds = append(kinds, fault{"black hole " + d.String(), func(r *run) {
			p := r.proxy()
			p.BlackHole(d, true)
			r.pause(20, 200)
			p.Cut()
			p.BlackHole(d, false)
		}})
	}
	for _, t := range []mqtttest.PacketType{
		mqtttest.TypePublish, mqtttest.TypePuback, mqtttest.TypePubrec, mqtttest.TypePubrel, mqtttest.TypePubcomp,
	} {
		kinds = append(kinds, fault{"lose " + t.String(), func(r *run) { r.lose(t) }})
	}
	return kinds
}

// lose drops some packets of a type in both directions and ends the connection, as a broken
// network does: on a connection that stays open MQTT sends nothing twice. After a lost
// PUBLISH nothing may pass: TCP keeps the order, and MQTT relies on it.
func (r *run) lose(t mqtttest.PacketType) {
	p := r.proxy()
	for _, d := range []mqtttest.Direction{mqtttest.ToBroker, mqtttest.ToClient} {
		if n := 1 + r.random.IntN(5); t == mqtttest.TypePublish {
			p.CutBefore(d, t, n)
		} else {
			p.Drop(d, t, n)
		}
	}
	r.pause(20, 100)
	p.Cut()
	p.Forgive()
}

// pause waits between low and high milliseconds, the duration of a fault.
func (r *run) pause(low, high int) {
	time.Sleep(time.Duration(low+r.random.IntN(high-low+1)) * time.Millisecond) //nolint:forbidigo // nothing is waited for
}

func (r *run) pick(of []*station) *station { return of[r.random.IntN(len(of))] }

func (r *run) proxy() *mqtttest.Proxy {
	return r.pick(append(r.publishers, r.consumers...)).proxy
}

func (r *run) restart(s *station) {
	s.child.kill()
	s.child.start()
}

// rounds returns the kinds in random order, each of them once before any is repeated.
func rounds(kinds []fault, random *rand.Rand) func() fault {
	var left []fault
	return func() fault {
		if len(left) == 0 {
			left = append(left, kinds...)
			random.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
		}
		next := left[0]
		left = left[1:]
		return next
	}
}
