package remote

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

// text makes a text that others chose valid in proto.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// timeIn returns a time, the zero one if it is not set.
func timeIn(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// timeOut is the inverse of timeIn.
func timeOut(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func criteriaOf(c *operatorv1.Criteria) operator.Criteria {
	if c == nil {
		return operator.Criteria{}
	}
	return operator.Criteria{
		Fingerprint: c.GetFingerprint(), Operation: c.GetOperation(), Subscription: c.GetSubscription(), Topic: c.GetTopic(),
		Reason: c.GetReason(), Origin: c.GetOrigin(), From: timeIn(c.GetFrom()), To: timeIn(c.GetTo()), Suspect: c.Suspect,
	}
}

func stateOf(s operatorv1.State) deadletter.State {
	switch s {
	case operatorv1.State_STATE_UNSPECIFIED, operatorv1.State_STATE_DEAD:
		return deadletter.Dead
	case operatorv1.State_STATE_PARKED:
		return deadletter.Parked
	}
	return deadletter.State(s.String()) // not one that is known, which the operator refuses
}

func groupOf(g *operator.Group) *operatorv1.Group {
	return &operatorv1.Group{
		Fingerprint: g.Fingerprint, Operation: text(g.Operation), Subscription: text(g.Subscription), ErrorType: text(g.ErrorType),
		Pattern: text(g.Pattern), Count: int64(g.Count), AtLeast: g.AtLeast, First: timeOut(g.First), Last: timeOut(g.Last),
		FirstId: text(g.FirstID), LastId: text(g.LastID),
	}
}

func letterOf(l *deadletter.Letter) *operatorv1.Letter {
	state := operatorv1.State_STATE_DEAD
	if l.State == deadletter.Parked {
		state = operatorv1.State_STATE_PARKED
	}
	reply := &operatorv1.Letter{
		Id: text(l.ID), State: state, Topic: text(l.Topic), Subscription: text(l.Filter), Operation: text(l.Operation), Key: text(l.Key),
		EventId: text(l.EventID), Service: text(l.Service), Owner: text(l.Owner), Reason: text(l.Reason), ErrorType: text(l.ErrorType),
		Fingerprint: l.Fingerprint(), Origin: text(l.Origin()), Attempts: small(l.Attempts), Received: timeOut(l.Received),
		Time: timeOut(l.Time), Until: timeOut(l.Until), Suspect: text(l.Suspect), Omitted: text(l.Omitted.String()),
		Replays: small(l.Replayed.Count), Qos: uint32(l.QoS), ContentType: text(l.ContentType), PayloadSize: int64(len(l.Payload)),
	}
	if e := l.Replayed.Edit; e != (deadletter.Edit{}) {
		reply.Edit = &operatorv1.Edit{By: text(e.By), Time: timeOut(e.Time), Sha256: e.SHA256}
	}
	return reply
}

func entryCriteriaOf(c *operatorv1.EntryCriteria) operator.EntryCriteria {
	return operator.EntryCriteria{Topic: c.GetTopic(), Reason: c.GetReason(), From: timeIn(c.GetFrom()), To: timeIn(c.GetTo())}
}

func entryQueryOf(r *operatorv1.ListEntriesRequest) operator.EntryQuery {
	return operator.EntryQuery{Criteria: entryCriteriaOf(r.GetCriteria()), Cursor: operator.Cursor(r.GetCursor()), Limit: int(r.GetLimit())}
}

// describe adds the message of an entry, unless it cannot be decoded.
func describe(to *operatorv1.Entry, e *outbox.Entry) *operatorv1.Entry {
	if e != nil {
		to.Topic, to.Key, to.EventId, to.PayloadSize = text(e.Topic), text(e.Key), text(e.ID), int64(len(e.Payload))
	}
	return to
}

func headersOf(list []message.Header) (headers []*operatorv1.Header) {
	for _, h := range list {
		headers = append(headers, &operatorv1.Header{Key: text(h.Key), Value: text(h.Value)})
	}
	return headers
}

func retainedOf(m *operator.RetainedShown) *operatorv1.RetainedMessage {
	return &operatorv1.RetainedMessage{
		Topic: text(m.Topic), Payload: m.Payload, Omitted: int64(m.Omitted), ContentType: text(m.ContentType),
		Headers: headersOf(m.Headers), Operation: m.Operation, Decoder: m.Decoder, Text: text(m.Text), Note: text(m.Note),
	}
}
