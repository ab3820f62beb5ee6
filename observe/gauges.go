package observe

import (
	"math"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// gauge is a metric that is read from Health. This table is the only place that a new one
// needs, besides the field of Health.
type gauge struct {
	name, unit, description string
	// value returns NaN if the client has none.
	value func(h *event.Health) float64
	// counts is set if the value only grows while the client lives.
	counts bool
	join   join
}

// join is how the values of several clients become one.
type join int

const (
	sum join = iota
	highest
	lowest
)

// gauges returns the table.
func gauges() []gauge {
	return []gauge{
		// Now.
		{name: prefix + "ready", unit: "{client}", description: "Clients that are connected with every filter granted at the requested QoS", value: func(h *event.Health) float64 { return flag(h.Ready) }},
		{name: prefix + "clients", unit: "{client}", description: "Clients that are watched", value: func(*event.Health) float64 { return 1 }},
		{name: prefix + "publish.in_flight", unit: "{message}", description: "Sent QoS 1 and 2 messages that are not acknowledged yet", value: func(h *event.Health) float64 { return float64(h.InFlight) }},
		{name: prefix + "queue.depth", unit: "{message}", description: "Received messages that wait for a handler", value: func(h *event.Health) float64 { return float64(h.Queued) }},
		{name: prefix + "queue.size", unit: "By", description: "Size of the received messages that wait for a handler or are being handled", value: func(h *event.Health) float64 { return float64(h.QueuedBytes) }},
		{name: prefix + "queue.back_pressure", unit: "s", description: "How long the client has been delaying the broker because the queue is full again and again", join: highest, value: func(h *event.Health) float64 { return h.BackPressure.Seconds() }},
		{name: prefix + "handlers.running", unit: "{message}", description: "Messages that are being handled", value: func(h *event.Health) float64 { return float64(h.Running) }},
		{name: prefix + "handlers.late", unit: "{call}", description: "Calls of handlers that passed their deadline and still run", value: func(h *event.Health) float64 { return float64(h.HandlersLate) }},
		{name: prefix + "subscriptions.wanted", unit: "{filter}", description: "Topic filters that are to be subscribed", value: func(h *event.Health) float64 { return float64(h.Filters) }},
		{name: prefix + "subscriptions.granted", unit: "{filter}", description: "Topic filters that the broker has granted, at whatever QoS", value: func(h *event.Health) float64 { return float64(h.Granted) }},
		{name: prefix + "messages.unmatched_kept", unit: "{message}", description: "Messages that no subscription matches yet and that stay unacknowledged", value: func(h *event.Health) float64 { return float64(h.UnmatchedKept) }},
		{name: prefix + "parked.messages", unit: "{message}", description: "Parked messages that are handled again from the durable store", value: func(h *event.Health) float64 { return float64(h.Parked) }},
		{name: prefix + "parked.keys", unit: "{key}", description: "Ordering keys whose messages wait behind a parked one", value: func(h *event.Health) float64 { return float64(h.ParkedKeys) }},
		{name: prefix + "parked.foreign", unit: "{message}", description: "Parked messages in the durable store that this process does not handle", join: highest, value: func(h *event.Health) float64 { return float64(h.ForeignParked) }},
		{name: prefix + "subscriptions.paused", unit: "{subscription}", description: "Subscriptions that do not handle messages, because somebody paused them or their breaker is not closed", value: func(h *event.Health) float64 { return float64(len(h.Pauses)) }},
		{name: prefix + "breaker.open", unit: "{subscription}", description: "Subscriptions whose breaker is open or half-open, except those that are paused by hand", value: openBreakers},
		{name: prefix + "subscriptions.paused_messages", unit: "{message}", description: "Messages that wait in this process for paused subscriptions", value: pausedMessages},
		{name: prefix + "dead_letters.blocked", unit: "{client}", description: "Clients that cannot store dead letters", value: func(h *event.Health) float64 { return flag(h.DeadLettersBlocked) }},
		{name: prefix + "certificate.broker.expiry", unit: "s", description: "Time until the certificate of the broker ends, negative afterwards", join: lowest, value: func(h *event.Health) float64 { return until(h.BrokerCertificateEnds) }},
		{name: prefix + "certificate.client.expiry", unit: "s", description: "Time until the certificate of the client ends, negative afterwards", join: lowest, value: func(h *event.Health) float64 { return until(h.ClientCertificateEnds) }},
		{name: prefix + "outbox.depth", unit: "{message}", description: "Messages that wait in the outbox", value: func(h *event.Health) float64 { return float64(h.Outbox.Depth) }},
		{name: prefix + "outbox.size", unit: "By", description: "Size of the messages that wait in the outbox", value: func(h *event.Health) float64 { return float64(h.Outbox.Bytes) }},
		{name: prefix + "outbox.age", unit: "s", description: "Age of the oldest message that waits in the outbox", join: highest, value: func(h *event.Health) float64 { return h.Outbox.Age.Seconds() }},
		{name: prefix + "outbox.fill", unit: "1", description: "How full the outbox is, by the limit that is closest", join: highest, value: func(h *event.Health) float64 { return h.Outbox.Fill }},
		{name: prefix + "outbox.closed_keys", unit: "{key}", description: "Ordering keys of the outbox that wait because their first message cannot be sent for now", value: func(h *event.Health) float64 { return float64(h.Outbox.ClosedKeys) }},
		{name: prefix + "outbox.gate_closed", unit: "{client}", description: "Clients whose outbox sends nothing until their own subscriptions are granted", value: func(h *event.Health) float64 { return flag(h.Outbox.GateClosed) }},
		{name: prefix + "outbox.quarantined", unit: "{message}", description: "Messages that the outbox keeps and does not send", value: func(h *event.Health) float64 { return float64(h.Outbox.Quarantined) }},
		{name: prefix + "outbox.delayed", unit: "{message}", description: "Messages that the outbox keeps until they are due", value: func(h *event.Health) float64 { return float64(h.Outbox.Delayed) }},
		{name: prefix + "outbox.failed", unit: "{client}", description: "Clients whose outbox cannot use its store, so that publishing fails", value: func(h *event.Health) float64 { return flag(h.Outbox.Err != nil) }},
		// Since the client was created.
		{name: prefix + "breaker.opened", unit: "{opening}", description: "How often the breaker of a subscription opened", counts: true, value: func(h *event.Health) float64 { return float64(h.BreakersOpened) }},
		{name: prefix + "messages.unmatched", unit: "{message}", description: "Messages that were acknowledged because no subscription matched", counts: true, value: func(h *event.Health) float64 { return float64(h.Unmatched) }},
		{name: prefix + "messages.queue_full", unit: "{message}", description: "QoS 0 messages that were dropped because the queue was full", counts: true, value: func(h *event.Health) float64 { return float64(h.QueueFull) }},
		{name: prefix + "messages.ill_formed", unit: "{message}", description: "QoS 0 messages that were dropped because their topic or properties are not well-formed text", counts: true, value: func(h *event.Health) float64 { return float64(h.IllFormed) }},
		{name: prefix + "messages.duplicates", unit: "{message}", description: "Messages that the dedup window suppressed", counts: true, value: func(h *event.Health) float64 { return float64(h.Duplicates) }},
		{name: prefix + "messages.missing", unit: "{message}", description: "Messages of publishers with sequence numbers that did not arrive, and did not arrive late", value: func(h *event.Health) float64 { return float64(h.Missing) }},
		{name: prefix + "messages.sequence_jumps", unit: "{jump}", description: "Sequence numbers that are further ahead than a publisher can have advanced", counts: true, value: func(h *event.Health) float64 { return float64(h.SequenceJumps) }},
		{name: prefix + "messages.dropped_by_policy", unit: "{message}", description: "Messages that were acknowledged without being handled, because of a policy", counts: true, value: func(h *event.Health) float64 { return float64(h.DroppedByPolicy) }},
		{name: prefix + "messages.without_id", unit: "{message}", description: "Messages that the dedup window could not check because they have no id", counts: true, value: func(h *event.Health) float64 { return float64(h.WithoutID) }},
		{name: prefix + "session.losses", unit: "{session}", description: "How often the broker had lost the session of the subscriber", counts: true, value: func(h *event.Health) float64 { return float64(h.SessionsLost) }},
		{name: prefix + "replies.dropped", unit: "{message}", description: "Replies that were not delivered to their requesters", counts: true, value: func(h *event.Health) float64 { return float64(h.RepliesDropped) }},
		{name: prefix + "publish.unrouted", unit: "{message}", description: "Messages that the broker accepted although no subscription matches them", counts: true, value: func(h *event.Health) float64 { return float64(h.Unrouted) }},
		{name: prefix + "publish.headers_lost", unit: "{message}", description: "Messages that were sent without their headers or expiry, on MQTT 3.1.1", counts: true, value: func(h *event.Health) float64 { return float64(h.HeadersLost) }},
		{name: prefix + "publish.context_headers_dropped", unit: "{header}", description: "Headers from the context of a publish that did not fit", counts: true, value: func(h *event.Health) float64 { return float64(h.ContextHeadersDropped) }},
		{name: prefix + "dead_letters.cut", unit: "{message}", description: "Dead letters that contain only a part of their message", counts: true, value: func(h *event.Health) float64 { return float64(h.LettersCut) }},
		{name: prefix + "dead_letters.lost", unit: "{message}", description: "Messages that were discarded because no store accepted their dead letter in any form, or its share was used up", counts: true, value: func(h *event.Health) float64 { return float64(h.LettersLost + h.LettersOverShare) }},
		{name: prefix + "outbox.unrouted", unit: "{message}", description: "Messages that were removed from the outbox although the broker had no subscriber for them", counts: true, value: func(h *event.Health) float64 { return float64(h.Outbox.Unrouted) }},
		{name: prefix + "outbox.expired", unit: "{message}", description: "Messages that were dropped because their expiry had passed before they could be sent", counts: true, value: func(h *event.Health) float64 { return float64(h.Outbox.Expired) }},
	}
}

func openBreakers(h *event.Health) (n float64) {
	for i := range h.Pauses {
		n += flag(h.Pauses[i].State != event.PausedByHand)
	}
	return n
}

func pausedMessages(h *event.Health) (n float64) {
	for i := range h.Pauses {
		n += float64(h.Pauses[i].Waiting)
	}
	return n
}

func flag(set bool) float64 {
	if set {
		return 1
	}
	return 0
}

// until returns the seconds until a time, negative afterwards.
func until(end time.Time) float64 {
	if end.IsZero() {
		return math.NaN()
	}
	return time.Until(end).Seconds()
}

// of returns the value for all clients together; NaN if none has one.
func (g *gauge) of(list []event.Health) float64 {
	all := math.NaN()
	for i := range list {
		switch v := g.value(&list[i]); {
		case math.IsNaN(v):
		case math.IsNaN(all):
			all = v
		case g.join == highest:
			all = max(all, v)
		case g.join == lowest:
			all = min(all, v)
		default:
			all += v
		}
	}
	return all
}
