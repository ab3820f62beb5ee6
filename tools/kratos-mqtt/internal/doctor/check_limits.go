package doctor

import (
	"bytes"
	"context"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

const (
	// leastPayload is the first payload that is tried; each following one is twice as large.
	leastPayload = 64 << 10
	// ownMaxPayload is the client's own limit, unless it is configured.
	ownMaxPayload = 256 << 10
)

// payload finds the largest payload that is delivered.
func payload(ctx context.Context, e *exam) (Finding, error) {
	var largest, next int
	var why string
	for size := leastPayload; ; size *= 2 {
		next = min(size, e.o.MaxPayload)
		var err error
		if why, err = e.carries(ctx, next); err != nil {
			return Finding{}, err
		}
		if why != "" {
			break
		}
		if largest = next; largest == e.o.MaxPayload {
			break
		}
	}
	f := Finding{Grade: OK, Result: sizeText(largest) + " and more", Values: map[string]any{"largest": largest}}
	if why != "" {
		f.Result = fmt.Sprintf("%s; of %s: %s", sizeText(largest), sizeText(next), why)
		f.Values["refused"] = next
		if largest < min(ownMaxPayload, e.o.MaxPayload) {
			f.Grade = Limited
			f.Advice = "set publisher.max_payload to what the broker carries, so that a larger message is refused where it is sent"
		}
	}
	return f, nil
}

// carries returns why a payload of a size does not arrive, or "" if it does.
func (e *exam) carries(ctx context.Context, size int) (why string, err error) {
	topic := e.topic()
	sub, pub, end, err := e.pair(ctx, topic, 1)
	if err != nil {
		return "", err
	}
	defer end()
	if most := pub.welcome.MaximumPacketSize; e.version == wire.V5 && most > 0 && size+len(topic)+16 > int(most) {
		return fmt.Sprintf("above the announced %d bytes", most), nil
	}
	sent := bytes.Repeat([]byte{'x'}, size)
	code, err := pub.say(topic, sent, 1, nil)
	if refused, err := e.refusal(wire.TypePuback, code, err); refused != "" || err != nil {
		return refused, err
	}
	if err := sub.settle(e.o.Quiet, 1); err != nil {
		return "", err
	}
	if len(sub.arrived) == 0 || !bytes.Equal(sub.arrived[0].payload, sent) {
		return "acknowledged, but not delivered", nil
	}
	return "", nil
}

func sizeText(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

const (
	// unacknowledged is how many messages are offered to a client that acknowledges nothing.
	unacknowledged = 200
	// ownReceiveMaximum is the receive maximum of the second client.
	ownReceiveMaximum = 5
)

// inFlight counts what the broker sends before it waits for an acknowledgement.
func inFlight(ctx context.Context, e *exam) (Finding, error) {
	n, err := e.unanswered(ctx, 0)
	if err != nil {
		return Finding{}, err
	}
	f := Finding{Grade: OK, Values: map[string]any{"in_flight": n}, Result: fmt.Sprintf("sends %d messages, then waits for acknowledgements", n)}
	if n == unacknowledged {
		f.Result = fmt.Sprintf("sends %d messages and more without an acknowledgement", n)
	}
	if n == 1 {
		f.Grade, f.Result = Limited, "sends one message, then waits for its acknowledgement"
		f.Advice = "handlers run one after another, because the broker sends one message at a time: give slow subscriptions sessions of their own (session: own)"
	}
	if e.version != wire.V5 {
		return f, nil
	}
	limited, err := e.unanswered(ctx, ownReceiveMaximum)
	if err != nil {
		return f, err
	}
	f.Values["in_flight_receive_maximum_5"] = limited
	if limited > ownReceiveMaximum {
		f.Grade, f.Result = Limited, fmt.Sprintf("%s; %d with a receive maximum of %d", f.Result, limited, ownReceiveMaximum)
		f.Advice = "the broker sends more than the receive maximum allows: nothing is lost, but more waits in the memory of the service"
		return f, nil
	}
	f.Result += "; keeps to the client's receive maximum"
	return f, nil
}

// unanswered returns how many messages a client receives that acknowledges none.
func (e *exam) unanswered(ctx context.Context, receiveMaximum uint16) (int, error) {
	topic := e.topic()
	sub, err := e.connect(ctx, login{version: e.version, clientID: e.client(), clean: true, receiveMaximum: receiveMaximum})
	if err != nil {
		return 0, err
	}
	defer sub.close()
	sub.silent = true
	if _, err := sub.subscribe(topic, 1); err != nil {
		return 0, err
	}
	if _, _, err := e.flood(ctx, topic, unacknowledged); err != nil {
		return 0, err
	}
	err = sub.settle(e.o.Quiet, unacknowledged)
	return len(sub.arrived), err
}

// topicAliases uses an alias, and has the broker use some.
func topicAliases(ctx context.Context, e *exam) (Finding, error) {
	topic := e.topic()
	sub, err := e.connect(ctx, login{version: e.version, clientID: e.client(), clean: true, aliasMaximum: 10})
	if err != nil {
		return Finding{}, err
	}
	defer sub.close()
	if _, err := sub.subscribe(topic, 1); err != nil {
		return Finding{}, err
	}
	pub, err := e.open(ctx)
	if err != nil {
		return Finding{}, err
	}
	defer pub.close()
	most := pub.welcome.TopicAliasMaximum
	for i := range 2 {
		_, err = pub.say(topic, []byte("alias"), 1, func(p *wire.Publish) {
			if most == 0 {
				return
			}
			if p.Props.TopicAlias = 1; i > 0 {
				p.Topic = nil
			}
		})
		if err != nil {
			return Finding{}, err
		}
	}
	if err := sub.settle(e.o.Quiet, 2); err != nil {
		return Finding{}, err
	}
	to := "none to clients"
	if sub.aliased {
		to = "some to clients"
	}
	f := Finding{Grade: OK, Values: map[string]any{"from_clients": most, "to_clients": sub.aliased}, Result: fmt.Sprintf("%d from a client, %s", most, to)}
	if most == 0 {
		f.Result = "none from clients, " + to
	} else if len(sub.of(topic)) < 2 {
		f.Grade, f.Result = Missing, "a message with an alias does not arrive"
		f.Advice = "do not use topic aliases (publisher.topic_aliases)"
	}
	return f, nil
}
