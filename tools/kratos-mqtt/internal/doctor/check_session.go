package doctor

import (
	"context"
	"fmt"
	"strconv"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// sessionMessages is how many messages a session has to keep.
const sessionMessages = 3

// sessionKept leaves a session, publishes, and comes back.
func sessionKept(ctx context.Context, e *exam) (Finding, error) {
	a, err := e.absence(ctx, sessionMessages)
	if err != nil {
		return Finding{}, err
	}
	f := Finding{Grade: OK, Result: "kept over a reconnect, with its messages", Values: map[string]any{"present": a.present, "sent": a.sent, "kept": len(a.kept)}}
	if a.expiry != nil {
		f.Values["session_expiry_s"] = *a.expiry
		if *a.expiry < sessionSeconds {
			f.Grade, f.Result = Limited, fmt.Sprintf("%s, for %d s at most", f.Result, *a.expiry)
			f.Advice = "an absence that is longer than the broker's session expiry loses messages: raise it at the broker"
		}
	}
	if !a.present || len(a.kept) < sessionMessages {
		f.Grade = Missing
		f.Result = fmt.Sprintf("session present %t, %d of %d messages", a.present, len(a.kept), a.sent)
		f.Advice = "messages that arrive while a service is away are lost: let senders hold their outbox back until it has subscribed"
	}
	return f, nil
}

// queue finds out how many messages wait in a session.
func queue(ctx context.Context, e *exam) (Finding, error) {
	if f := e.report.find(checkSession, e.version.String()); f.Grade == Missing {
		return Finding{Grade: Missing, Result: "there is no session for messages to wait in"}, nil
	}
	a, err := e.absence(ctx, e.o.MaxQueue)
	if err != nil {
		return Finding{}, err
	}
	n := len(a.kept)
	f := Finding{Grade: OK, Values: map[string]any{"sent": a.sent, "kept": n, "refused": a.refused}, Result: fmt.Sprintf("%d messages and more wait", n)}
	if n >= a.sent {
		return f, nil
	}
	which := "others"
	switch {
	case n > 0 && a.kept[n-1] == n-1:
		which = "newest"
	case n > 0 && a.kept[0] == a.sent-n:
		which = "oldest"
	}
	told := "without an error"
	if a.refused > 0 {
		told = fmt.Sprintf("%d with an error", a.refused)
	}
	f.Grade, f.Result = Limited, fmt.Sprintf("%d of %d messages wait, the %s are discarded, %s", n, a.sent, which, told)
	f.Advice = "a session that is away keeps no more messages than that: raise the limit at the broker (Mosquitto: max_queued_messages) to what senders publish in the longest outage"
	return f, nil
}

// absent is what became of a session and its messages.
type absent struct {
	present bool
	sent    int
	refused int   // with a reason code
	kept    []int // numbers of the messages that arrived, from 0, each once
	expiry  *uint32
}

// absence subscribes in a session that is kept, publishes messages while it is away, and
// reads what arrives in it afterwards.
func (e *exam) absence(ctx context.Context, messages int) (absent, error) {
	var a absent
	topic, who := e.topic(), login{version: e.version, clientID: e.client(), keep: true}
	e.kept = append(e.kept, who.clientID)
	defer e.endSession(ctx, who.clientID)
	sub, err := e.connect(ctx, who)
	if err != nil {
		return a, err
	}
	if sub.welcome.HasSessionExpiry {
		a.expiry = &sub.welcome.SessionExpiry
	}
	code, err := sub.subscribe(topic, 1)
	if err == nil && code >= wire.ReasonError {
		err = fmt.Errorf("SUBSCRIBE: %s", codeText(wire.TypeSuback, e.version, code))
	}
	sub.close()
	if err != nil {
		return a, err
	}
	if a.sent, a.refused, err = e.flood(ctx, topic, messages); err != nil {
		return a, err
	}
	if sub, err = e.connect(ctx, who); err != nil {
		return a, err
	}
	defer sub.close()
	a.present = sub.welcome.SessionPresent
	if err := sub.settle(e.o.Quiet, messages); err != nil {
		return a, err
	}
	seen := make(map[int]bool, messages)
	for _, m := range sub.of(topic) {
		if i, err := strconv.Atoi(string(m.payload)); err == nil && !seen[i] {
			seen[i] = true
			a.kept = append(a.kept, i)
		}
	}
	return a, nil
}

// endSession ends a session that was kept.
func (e *exam) endSession(ctx context.Context, id string) {
	if c, err := e.connect(ctx, login{version: e.version, clientID: id, clean: true}); err == nil {
		c.close()
		e.kept = nil
	}
}

// window is how many messages flood leaves unacknowledged, unless the broker takes fewer.
const window = 20

// flood publishes numbered messages at QoS 1, and returns how many were acknowledged, and how
// many of them with a refusal.
func (e *exam) flood(ctx context.Context, topic string, n int) (sent, refused int, err error) {
	pub, err := e.open(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer pub.close()
	most := min(window, int(pub.welcome.ReceiveMaximum))
	if e.version != wire.V5 {
		most = window
	}
	for i := range n {
		if _, err := pub.put(topic, strconv.AppendInt(nil, int64(i), 10), 1, nil); err != nil {
			return sent, refused, err
		}
		if i+1-len(pub.outcomes) < most {
			continue
		}
		if err := pub.until(e.wait, func() bool { return i+1-len(pub.outcomes) < most }); err != nil {
			return sent, refused, err
		}
	}
	err = pub.until(e.wait, func() bool { return len(pub.outcomes) == n })
	for _, code := range pub.outcomes {
		if code >= wire.ReasonError {
			refused++
		}
	}
	return len(pub.outcomes), refused, err
}
