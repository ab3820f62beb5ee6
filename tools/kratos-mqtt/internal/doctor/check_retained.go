package doctor

import (
	"context"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// retained publishes a retained message, reads it with several filters, and deletes it.
func retained(ctx context.Context, e *exam) (Finding, error) {
	base := e.topic()
	topic := base + "/a/b"
	pub, err := e.open(ctx)
	if err != nil {
		return Finding{}, err
	}
	defer pub.close()
	e.set = append(e.set, topic)
	keep := func(p *wire.Publish) { p.Retain = true }
	code, err := pub.say(topic, []byte("retained"), 1, keep)
	if refused, err := e.refusal(wire.TypePuback, code, err); refused != "" || err != nil {
		return Finding{Grade: Missing, Result: refused, Advice: adviceRetained}, err
	}
	f := Finding{Grade: OK, Result: "kept, found by topic, + and #, and deleted by an empty message"}
	var lacking []string
	for _, filter := range []string{topic, base + "/+/b", base + "/#"} {
		found, err := e.finds(ctx, filter, topic)
		if err != nil {
			return Finding{}, err
		}
		if !found {
			lacking = append(lacking, strings.TrimPrefix(filter, base+"/"))
		}
	}
	if len(lacking) == 3 {
		return Finding{Grade: Missing, Result: "not kept", Advice: adviceRetained}, nil
	}
	if len(lacking) > 0 {
		f.Grade, f.Result = Limited, "kept, but not found by "+strings.Join(lacking, " and ")
		f.Advice = "retained messages are not found by filters with wildcards: use a store for dead letters (dead_letters.driver), and no template with parameters for states"
	}
	if _, err := pub.say(topic, nil, 1, keep); err != nil {
		return f, err
	}
	still, err := e.finds(ctx, topic, topic)
	if err == nil && still {
		f.Grade, f.Result = Limited, f.Result+"; an empty message does not delete it"
	}
	if err == nil && !still {
		e.set = nil
	}
	return f, err
}

const adviceRetained = "use a store for dead letters (dead_letters.driver: file or sql): without retained messages they have no place at this broker"

// finds reports whether a new subscription receives the retained message of a topic.
func (e *exam) finds(ctx context.Context, filter, topic string) (bool, error) {
	sub, err := e.open(ctx)
	if err != nil {
		return false, err
	}
	defer sub.close()
	code, err := sub.subscribe(filter, 1)
	if err != nil || code >= wire.ReasonError {
		return false, err
	}
	if err := sub.settle(e.o.Quiet, 1); err != nil {
		return false, err
	}
	found := sub.of(topic)
	return len(found) > 0 && found[0].retain, nil
}
