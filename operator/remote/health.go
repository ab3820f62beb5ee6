package remote

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
)

// Health returns the state of a probe as GetHealth replies it, for a page that shows it without an
// operator. Texts of errors name hosts, topics and keys, but no credentials.
func Health(state observe.State) *operatorv1.GetHealthReply {
	reply := &operatorv1.GetHealthReply{Status: string(state.Status), Findings: findingsOf(state.Findings)}
	for i := range state.Clients {
		reply.Clients = append(reply.Clients, clientOf(&state.Clients[i]))
	}
	return reply
}

func findingsOf(list []observe.Finding) (findings []*operatorv1.Finding) {
	for _, f := range list {
		findings = append(findings, &operatorv1.Finding{Reason: string(f.Code), Text: text(f.Text)})
	}
	return findings
}

func clientOf(c *observe.ClientState) *operatorv1.Client {
	h := &c.Health
	reply := &operatorv1.Client{
		Connected: h.Connected, Ready: h.Ready, Findings: findingsOf(c.Findings), InFlight: small(h.InFlight), Queued: small(h.Queued),
		Running: small(h.Running), HandlersLate: small(h.HandlersLate), Parked: small(h.Parked), ParkedKeys: small(h.ParkedKeys),
		Duplicates: h.Duplicates, Unmatched: h.Unmatched, SessionsLost: h.SessionsLost,
		CertificateEnds: timeOut(first(h.BrokerCertificateEnds, h.ClientCertificateEnds)), LastError: errorText(h.LastError),
	}
	if h.BackPressure > 0 {
		reply.BackPressure = durationpb.New(h.BackPressure)
	}
	if h.LastLoss != nil {
		reply.LastLoss = text(h.LastLoss.Error())
	}
	for i := range c.Filters {
		f := &c.Filters[i]
		reply.Filters = append(reply.Filters, &operatorv1.Filter{
			Filter: text(f.Filter), Session: text(f.Session), AskedQos: uint32(f.AskedQoS), Granted: f.Granted, GrantedQos: uint32(f.GrantedQoS), Error: errorText(f.Err),
		})
	}
	for i := range h.Sessions {
		s := &h.Sessions[i]
		reply.Sessions = append(reply.Sessions, &operatorv1.Session{
			ClientId: text(s.ClientID), Name: text(s.Name), Connected: s.Connected, Ready: s.Ready, Filters: small(s.Filters), Granted: small(s.Granted),
			InFlight: small(s.InFlight), Queued: small(s.Queued), Running: small(s.Running), LastError: errorText(s.LastError),
		})
	}
	if len(reply.Sessions) > 0 {
		reply.ClientId = reply.Sessions[0].ClientId
	}
	for _, k := range h.TopParkedKeys {
		reply.TopParkedKeys = append(reply.TopParkedKeys, &operatorv1.ParkedKey{
			Filter: text(k.Filter), Key: text(k.Key), Waiting: small(k.Waiting), Since: timeOut(k.Since), LastError: text(k.LastError),
		})
	}
	if h.HasOutbox {
		reply.Outbox = outboxOf(&h.Outbox)
	}
	return reply
}

func outboxOf(o *event.OutboxHealth) *operatorv1.OutboxState {
	return &operatorv1.OutboxState{
		Depth: int64(o.Depth), Bytes: o.Bytes, Age: durationpb.New(o.Age), Fill: o.Fill, GateClosed: o.GateClosed, ClosedKeys: small(o.ClosedKeys),
		Quarantined: small(o.Quarantined), Unrouted: o.Unrouted, Expired: o.Expired, Refused: errorText(o.RefusedError), Error: errorText(o.Err),
		Delayed: int64(o.Delayed), NextDue: timeOut(o.NextDue),
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return text(err.Error())
}

// first returns the earlier of two times. A zero time does not count.
func first(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
