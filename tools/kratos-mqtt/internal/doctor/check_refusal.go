package doctor

import (
	"context"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// forbidden publishes on a topic that no client, or not this user, may publish on.
func forbidden(ctx context.Context, e *exam) (Finding, error) {
	topic, named := e.o.Forbidden, e.o.Forbidden != ""
	if !named {
		topic = "$SYS/" + e.topic()
	}
	sub, err := e.open(ctx)
	if err != nil {
		return Finding{}, err
	}
	defer sub.close()
	if _, err := sub.subscribe(topic, 1); err != nil {
		sub = nil // whether it arrives cannot be seen then
	}
	pub, err := e.open(ctx)
	if err != nil {
		return Finding{}, err
	}
	defer pub.close()
	code, err := pub.say(topic, []byte("forbidden"), 1, nil)
	var closed *closedError
	switch {
	case errors.As(err, &closed):
		return Finding{
			Grade: Limited, Result: "ends the connection: " + problem(err),
			Advice: "a publish that the access rules forbid ends the connection, with everything in flight on it: keep topics and rules in step; an outbox quarantines such a message",
		}, nil
	case err != nil:
		return Finding{}, err
	case code >= wire.ReasonError:
		return Finding{Grade: OK, Result: "visible: refused with " + codeText(wire.TypePuback, e.version, code)}, nil
	}
	if sub != nil {
		if err := sub.settle(e.o.Quiet, 1); err != nil {
			return Finding{}, err
		}
		if len(sub.of(topic)) > 0 {
			return e.permitted(named), nil
		}
	}
	return Finding{
		Grade: Limited, Result: "not visible: acknowledged and thrown away",
		Advice: "a publish that the access rules forbid looks delivered on " + protocolText(e.version) + ": test each topic of a service with doctor --forbidden TOPIC, or watch that its messages arrive",
	}, nil
}

func (e *exam) permitted(named bool) Finding {
	if named {
		return Finding{Grade: OK, Result: "not forbidden: the message was delivered"}
	}
	return Finding{
		Grade: Unknown, Result: "topics below $SYS are not forbidden here: the message was delivered",
		Advice: "to see how a forbidden publish looks, pass --forbidden with a topic that the access rules forbid",
	}
}

func protocolText(v wire.Version) string { return "MQTT " + v.String() }

// unrouted publishes where nobody subscribes.
func unrouted(ctx context.Context, e *exam) (Finding, error) {
	pub, err := e.open(ctx)
	if err != nil {
		return Finding{}, err
	}
	defer pub.close()
	code, err := pub.say(e.topic(), []byte("unrouted"), 1, nil)
	if err != nil {
		return Finding{}, err
	}
	f := Finding{Grade: OK, Result: "visible: " + codeText(wire.TypePuback, e.version, code), Values: map[string]any{"reason_code": code}}
	switch {
	case code >= wire.ReasonError:
		f.Grade, f.Result = Limited, "refused with "+codeText(wire.TypePuback, e.version, code)
	case code != wire.ReasonNoMatchingSubscribers:
		f.Grade, f.Result = Limited, "not visible: acknowledged as any other"
		f.Advice = "outbox.unrouted has no effect: the broker does not report that nobody subscribes"
	}
	return f, nil
}
